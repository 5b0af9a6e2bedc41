//! The README's code blocks, so that stories run what users copy.

use std::path::Path;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The heading it stands under.
    pub(crate) heading: String,
    /// What follows the fence.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// The README.
pub(crate) fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("it is there")
}

/// Every block, in its order.
pub(crate) fn blocks() -> Vec<Block> {
    let (text, mut heading, mut found) = (readme(), String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```");
            let text = text.map(|line| format!("{line}\n")).collect();
            found.push(Block { heading: heading.clone(), language: language.to_owned(), text });
        } else if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
    }
    found
}

/// The text of the block in this language under this heading, the first if there are several.
#[track_caller]
pub(crate) fn block(heading: &str, language: &str) -> String {
    let wanted = |block: &Block| block.heading == heading && block.language == language;
    let found = blocks().into_iter().find(wanted);
    found.unwrap_or_else(|| panic!("the README has no {language} under {heading:?}")).text
}

/// Replaces what is said for everybody by what it is here; each must be there.
#[track_caller]
pub(crate) fn here(text: &str, replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(text.to_owned(), |text, (said, here)| {
        assert!(text.contains(said), "no {said:?} in {text}");
        text.replace(said, here)
    })
}
