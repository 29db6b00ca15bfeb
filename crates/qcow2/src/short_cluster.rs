//! A data cluster in which the file ends.

use diskimg_core::Finding;

use crate::addr::{Geometry, GuestOffset, SUBCLUSTERS};
use crate::l2::ClusterDescriptor;
use crate::subcluster::Subcluster;

/// A data cluster in which the file ends. QEMU reads the missing bytes as zeros, and so does this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShortCluster {
    /// The size of the file in bytes.
    pub(crate) file_size: u64,
    /// The guest offset of the first missing byte.
    pub(crate) guest: GuestOffset,
    /// The number of missing bytes within the disk.
    pub(crate) missing: u64,
}

impl ShortCluster {
    /// Returns the missing bytes of the cluster at `guest`, if it is stored in the host cluster in which a file of
    /// `file_size` bytes ends. A disk of `disk_size` bytes may not show them.
    pub(crate) fn of(
        cluster: ClusterDescriptor,
        guest: GuestOffset,
        geometry: Geometry,
        file_size: u64,
        disk_size: u64,
    ) -> Option<Self> {
        let present = geometry.in_cluster(file_size);
        let missing_from = |from: u64, to: u64| {
            let start = guest.plus(from.max(present));
            let end = guest.plus(to).min(GuestOffset(disk_size));
            let missing = end.since(start);
            (missing > 0).then_some(Self { file_size, guest: start, missing })
        };
        match cluster {
            ClusterDescriptor::Data(_) => missing_from(0, geometry.cluster_size()),
            ClusterDescriptor::Mixed(map) => {
                let bits = geometry.subcluster_bits();
                let (mut short, mut index): (Option<Self>, _) = (None, 0);
                while index < SUBCLUSTERS {
                    let (kind, same) = map.run(index);
                    let end = index.saturating_add(same);
                    if kind == Subcluster::Data {
                        let more = missing_from(u64::from(index) << bits, u64::from(end) << bits);
                        short = match (short, more) {
                            (Some(first), Some(more)) => Some(first.with(more.missing)),
                            (first, more) => first.or(more),
                        };
                    }
                    index = end;
                }
                short
            }
            _ => None,
        }
    }

    /// Adds `more` missing bytes of the same cluster.
    pub(crate) fn with(self, more: u64) -> Self {
        Self { missing: self.missing.saturating_add(more), ..self }
    }

    pub(crate) fn finding(&self) -> Finding {
        let Self { file_size, guest, missing } = self;
        let message = format!(
            "the file ends at byte {file_size}, inside its last cluster at guest offset {}; the missing {missing} \
             bytes read as zeros",
            guest.0
        );
        Finding::warning("truncated_cluster", message).at(*file_size)
    }
}
