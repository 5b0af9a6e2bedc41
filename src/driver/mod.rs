//! The one loop: news in, the supervisor's orders out.
