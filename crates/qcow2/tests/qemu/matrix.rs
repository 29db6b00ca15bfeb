//! All combinations of versions, cluster sizes, compression and subclusters.

use crate::tools::Workshop;

/// A disk that ends inside a cluster and inside an L2 entry's subclusters.
const SIZE: u64 = (5 << 20) + 1536;

/// Makes an image of a mixed disk and compares it before and after changes of every kind.
fn compare(options: &str, cluster: u64, compressed: bool) {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", SIZE);
    let options = format!("{options},cluster_size={cluster}");
    let compress: &[&str] = if compressed { &["-c"] } else { &[] };
    let convert = ["convert", "-f", "raw", "-O", "qcow2", "-o", &options, "mixed.raw", "disk.qcow2"];
    shop.img(&[&convert[..1], compress, &convert[1..]].concat());
    shop.compare("disk.qcow2");
    let step = cluster.max(4096);
    let at = |offset: u64, len: u64| format!("{offset} {len}");
    let mut commands = vec![
        format!("write -P 0xa1 {}", at(step - 512, 1024)),
        format!("write -P 0xa2 {}", at(step + 512, 512)),
        format!("write -z {}", at(0, step / 2)),
        format!("write -z {}", at(step, step)),
        format!("write -z -u {}", at(SIZE - 1024, 1024)),
    ];
    if SIZE > 4 * step {
        commands.push(format!("discard {}", at(2 * step, step)));
        commands.push(format!("write -P 0xa3 {}", at(3 * step + 512, step)));
        if compressed {
            commands.push(format!("write -c -P 0xa4 {}", at(2 * step, step)));
        }
    }
    shop.io("disk.qcow2", &commands.iter().map(String::as_str).collect::<Vec<_>>());
    shop.compare("disk.qcow2");
}

macro_rules! matrix {
    ($($name:ident: $options:expr, $cluster:expr, $compressed:expr;)*) => {
        $(#[test] fn $name() { compare($options, $cluster, $compressed); })*
    };
}

matrix! {
    version_2_of_512_bytes_reads_as_in_qemu: "compat=0.10", 512, false;
    version_2_of_4_kib_reads_as_in_qemu: "compat=0.10", 4096, false;
    version_2_of_64_kib_reads_as_in_qemu: "compat=0.10", 65_536, false;
    version_2_of_2_mib_reads_as_in_qemu: "compat=0.10", 2 << 20, false;
    version_2_of_512_bytes_deflated_reads_as_in_qemu: "compat=0.10", 512, true;
    version_2_of_4_kib_deflated_reads_as_in_qemu: "compat=0.10", 4096, true;
    version_2_of_64_kib_deflated_reads_as_in_qemu: "compat=0.10", 65_536, true;
    version_2_of_2_mib_deflated_reads_as_in_qemu: "compat=0.10", 2 << 20, true;
    version_3_of_512_bytes_reads_as_in_qemu: "compat=1.1", 512, false;
    version_3_of_4_kib_reads_as_in_qemu: "compat=1.1", 4096, false;
    version_3_of_64_kib_reads_as_in_qemu: "compat=1.1", 65_536, false;
    version_3_of_2_mib_reads_as_in_qemu: "compat=1.1", 2 << 20, false;
    version_3_of_512_bytes_deflated_reads_as_in_qemu: "compat=1.1", 512, true;
    version_3_of_4_kib_deflated_reads_as_in_qemu: "compat=1.1", 4096, true;
    version_3_of_64_kib_deflated_reads_as_in_qemu: "compat=1.1", 65_536, true;
    version_3_of_2_mib_deflated_reads_as_in_qemu: "compat=1.1", 2 << 20, true;
    version_3_of_512_bytes_in_zstd_reads_as_in_qemu: "compression_type=zstd", 512, true;
    version_3_of_4_kib_in_zstd_reads_as_in_qemu: "compression_type=zstd", 4096, true;
    version_3_of_64_kib_in_zstd_reads_as_in_qemu: "compression_type=zstd", 65_536, true;
    version_3_of_2_mib_in_zstd_reads_as_in_qemu: "compression_type=zstd", 2 << 20, true;
    subclusters_of_512_bytes_read_as_in_qemu: "extended_l2=on", 16_384, false;
    subclusters_of_2_kib_read_as_in_qemu: "extended_l2=on", 65_536, false;
    subclusters_of_64_kib_read_as_in_qemu: "extended_l2=on", 2 << 20, false;
    subclusters_deflated_read_as_in_qemu: "extended_l2=on", 65_536, true;
    subclusters_in_zstd_read_as_in_qemu: "extended_l2=on,compression_type=zstd", 16_384, true;
}
