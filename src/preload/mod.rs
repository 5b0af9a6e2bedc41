//! The worker's JavaScript and where it is put for Node to load.
