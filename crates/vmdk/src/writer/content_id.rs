//! Content ids of new images.

use std::hash::{BuildHasher, RandomState};

use crate::descriptor::NO_PARENT;

/// The content id of a disk that was never written, in images by VMware. Many images have it.
const NEVER_WRITTEN: u32 = 0xFFFF_FFFE;

/// Returns a random content id. Two images with the same id could be taken for each other as the parent of a differencing
/// image.
pub(super) fn random_content_id() -> u32 {
    loop {
        // The standard library seeds these keys from the operating system.
        let [.., a, b, c, d] = RandomState::new().hash_one(std::process::id()).to_be_bytes();
        match u32::from_be_bytes([a, b, c, d]) {
            0 | NEVER_WRITTEN | NO_PARENT => {}
            id => return id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ids_differ() {
        let ids: std::collections::BTreeSet<u32> = (0..100).map(|_| random_content_id()).collect();
        assert!(ids.len() > 98, "{ids:?}");
    }
}
