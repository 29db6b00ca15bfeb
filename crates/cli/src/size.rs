//! Sizes in arguments and in output.

use diskimg::{Error, Setting};

/// Parses a size like `qemu-img`: a number with an optional suffix k, M, G, T, P or E, which are powers of
/// 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, Error> {
    Setting { name: "size".to_owned(), value: text.to_owned() }.as_size()
}

/// Formats a size so that [`parse_size`] returns it: a whole number with the largest suffix that fits.
pub(crate) fn exact_size(bytes: u64) -> String {
    let suffixes = [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("k", 10)];
    let fits = suffixes.into_iter().find(|(_, bits)| bytes != 0 && bytes.trailing_zeros() >= *bits);
    fits.map_or_else(|| bytes.to_string(), |(suffix, bits)| format!("{}{suffix}", bytes >> bits))
}

/// Formats a size like `qemu-img`: three significant digits and a binary unit.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let mut number = format!("{value:.digits$}");
    if number.contains('.') {
        number.truncate(number.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{number} {}", UNITS.get(unit).unwrap_or(&"B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_sizes_are_parsed_back() {
        for (bytes, text) in
            [(0, "0"), (1000, "1000"), (1024, "1k"), (1536, "1536"), (256 << 20, "256M"), (3 << 30, "3G")]
        {
            assert_eq!(exact_size(bytes), text);
            assert_eq!(parse_size(text).unwrap(), bytes);
        }
    }

    #[test]
    fn sizes_are_formatted_like_qemu_img() {
        let table = [
            (0, "0 B"),
            (512, "512 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (196_616, "192 KiB"),
            (1 << 20, "1 MiB"),
            (10_380_902, "9.9 MiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(human_size(bytes), text);
        }
    }
}
