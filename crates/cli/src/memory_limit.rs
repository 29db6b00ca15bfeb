//! The memory that the control group of the process allows, and the defaults that fit into it.
//!
//! Sources: Linux, `cgroup-v2.rst`, `memory.max`; `cgroup-v1/memory.rst`, `memory.limit_in_bytes`; cgroups(7),
//! `/proc/pid/cgroup`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use diskimg::{ConvertOptions, Limits};

/// Returns the memory limit of the control group of this process in bytes, if it has one. It is read once.
pub(crate) fn of_control_group() -> Option<u64> {
    static LIMIT: LazyLock<Option<u64>> = LazyLock::new(|| {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        groups.lines().filter_map(|line| least(line, Path::new("/sys/fs/cgroup"))).min()
    });
    *LIMIT
}

/// The least limit of a group and those around it. `line` is `ID:CONTROLLERS:PATH`.
fn least(line: &str, root: &Path) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
    let (root, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        list if list.split(',').any(|name| name == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    // In a container the path may be that of the host, which does not exist here; the limit is in the root then.
    let groups = Path::new(path).ancestors().map(|group| root.join(group));
    groups
        .filter_map(|group: PathBuf| std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok())
        .min()
}

/// Lowers the limits of reading to what fits into `memory` bytes: half of it for a dictionary, an eighth for tables.
pub(crate) fn fit_limits(limits: &mut Limits, memory: u64) {
    limits.decoder_memory = limits.decoder_memory.min(memory / 2);
    limits.metadata_cache = limits.metadata_cache.min((memory / 8).max(1 << 20));
}

/// Lowers the buffers of a conversion to a quarter of `memory` bytes, and the number of threads: each has a codec and a
/// heap in addition to its buffers, which measured up to 5 MiB with 8 threads.
pub(crate) fn fit_conversion(options: &mut ConvertOptions, memory: u64) {
    options.memory = options.memory.min((memory / 4).max(1 << 20));
    let wanted = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        wanted => wanted,
    };
    let room = usize::try_from(memory / BYTES_PER_THREAD).unwrap_or(usize::MAX);
    options.threads = wanted.min(room).max(1);
}

/// The memory of the control group for each thread of a conversion.
const BYTES_PER_THREAD: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_limit_of_the_group_and_those_around_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/memory.max", "1000\n");
        write("a/b/memory.max", "max\n");
        write("memory/x/memory.limit_in_bytes", "500\n");
        assert_eq!(least("0::/a/b", root.path()), Some(1000));
        assert_eq!(least("0::/elsewhere", root.path()), None);
        assert_eq!(least("4:cpu,memory:/x", root.path()), Some(500));
        assert_eq!(least("3:cpuset:/x", root.path()), None);
        write("memory.max", "300\n");
        assert_eq!(least("0::/path/of/the/host", root.path()), Some(300));
    }
}
