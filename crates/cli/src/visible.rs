//! Messages without hidden characters.

use std::borrow::Cow;
use std::path::Path;

use diskimg::core::is_hidden;

/// Escapes the hidden characters in a message, whose names should be escaped already.
pub(crate) fn visible(message: &str) -> Cow<'_, str> {
    if !message.contains(is_hidden) {
        return Cow::Borrowed(message);
    }
    let each = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(message.chars().map(each).collect())
}

/// Returns a path for a message, with its hidden characters escaped.
pub(crate) fn visible_path(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_of_a_message_are_escaped() {
        assert_eq!(visible("a\u{9b}b\"c"), "a\\u{9b}b\"c");
        assert_eq!(visible("\"é\" 漢"), "\"é\" 漢");
    }
}
