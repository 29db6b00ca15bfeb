//! The description of an image as text, in the layout of `qemu-img info`.

use std::io::Write;

use diskimg::Inspection;
use diskimg::core::{Detail, Snapshot};
use diskimg::json::{backing, file_name, full_name, severity, whole_sectors};

use crate::failure::Failure;
use crate::output::shown;
use crate::size::human_size;
use crate::visible::visible;

/// Prints the whole description.
pub(super) fn print(out: &mut dyn Write, inspection: &Inspection, filename: &str) -> Result<(), Failure> {
    let info = &inspection.info;
    writeln!(out, "image: {}", shown(filename))?;
    writeln!(out, "file format: {}", info.format)?;
    let size = whole_sectors(info.virtual_size);
    writeln!(out, "virtual size: {} ({size} bytes)", human_size(size))?;
    if size != info.virtual_size {
        writeln!(out, "exact size: {} bytes", info.virtual_size)?;
    }
    if let Some(bytes) = inspection.allocated_in_all_files() {
        writeln!(out, "disk size: {}", human_size(bytes))?;
    }
    if let Some(method) = info.encryption {
        writeln!(out, "encrypted: yes ({method})")?;
    }
    if let Some(unit) = info.allocation_unit {
        writeln!(out, "cluster_size: {unit}")?;
    }
    if info.dirty {
        writeln!(out, "cleanly shut down: no")?;
    }
    if let Some(wrapper) = inspection.wrapper {
        writeln!(out, "wrapper: {}", wrapper.name())?;
    }
    if let Some(member) = &inspection.archive {
        writeln!(out, "archive: {}", member.archive)?;
        writeln!(out, "member: {}", shown(&member.name))?;
        if let Some(wrapper) = member.wrapper {
            writeln!(out, "member wrapper: {}", wrapper.name())?;
        }
    }
    if let Some(content) = info.content {
        let disc = if info.is_optical_disc { " (CD-ROM)" } else { "" };
        writeln!(out, "content: {content}{disc}")?;
    }
    if let Some(backing) = backing(info) {
        let name = backing.name_lossy();
        let full = full_name(filename, &name);
        write!(out, "backing file: {}", shown(&name))?;
        writeln!(
            out,
            "{}",
            if full == *name { String::new() } else { format!(" (actual path: {})", shown(&full)) }
        )?;
        if let Some(format) = &backing.format {
            writeln!(out, "backing file format: {}", shown(format))?;
        }
    }
    print_snapshots(out, &info.snapshots)?;
    if !info.details.is_empty() {
        writeln!(out, "Format specific information:")?;
        print_table(out, &info.details, filename, 1)?;
    }
    for finding in &info.findings {
        writeln!(out, "{}: {}", severity(finding.severity), visible(&finding.message))?;
    }
    print_files(out, inspection, filename)
}

/// Prints the files of an image: the extents, the last one first as in QEMU, then its own.
fn print_files(out: &mut dyn Write, inspection: &Inspection, filename: &str) -> Result<(), Failure> {
    let Some(bytes) = inspection.file_size else { return Ok(()) };
    for (index, file) in inspection.other_files.iter().enumerate().rev() {
        let name = full_name(filename, &file.name);
        print_file(out, &format!("extents.{index}"), &name, file.file_size, file.allocated_size)?;
    }
    print_file(out, "file", filename, Some(bytes), inspection.allocated_size)
}

fn print_file(
    out: &mut dyn Write,
    node: &str,
    filename: &str,
    size: Option<u64>,
    allocated: Option<u64>,
) -> Result<(), Failure> {
    let filename = shown(filename);
    writeln!(out, "Child node '/{node}':\n    filename: {filename}\n    protocol type: file")?;
    if let Some(bytes) = size {
        writeln!(out, "    file length: {} ({bytes} bytes)", human_size(bytes))?;
    }
    if let Some(bytes) = allocated {
        writeln!(out, "    disk size: {}", human_size(bytes))?;
    }
    Ok(())
}

fn print_snapshots(out: &mut dyn Write, snapshots: &[Snapshot]) -> Result<(), Failure> {
    if snapshots.is_empty() {
        return Ok(());
    }
    writeln!(out, "Snapshot list:")?;
    writeln!(
        out,
        "{:<7} {:<16} {:>8} {:>19} {:>15} {:>10}",
        "ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT"
    )?;
    for snapshot in snapshots {
        let icount = snapshot.icount.map_or("--".to_owned(), |icount| icount.to_string());
        writeln!(
            out,
            "{:<7} {:<16} {:>8} {:>19} {:>15} {icount:>10}",
            shown(&snapshot.id),
            shown(&snapshot.name),
            human_size(snapshot.vm_state_size),
            date(snapshot.date_seconds),
            clock(snapshot.vm_clock_nanoseconds),
        )?;
    }
    Ok(())
}

/// Formats seconds since 1970 as a date and time in UTC.
fn date(seconds: u32) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years (Howard Hinnant's civil_from_days).
    let z = u64::from(days) + 719_468;
    let (era, day) = (z / 146_097, z % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let day = day - (153 * shifted + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

fn clock(nanoseconds: u64) -> String {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    format!("{:04}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, rest / 1_000_000)
}

fn print_table(
    out: &mut dyn Write,
    details: &[(String, Detail)],
    image: &str,
    depth: usize,
) -> Result<(), Failure> {
    for (name, detail) in details {
        print_detail(out, &shown(&name.replace('-', " ")), detail, image, depth)?;
    }
    Ok(())
}

fn print_detail(
    out: &mut dyn Write,
    name: &str,
    detail: &Detail,
    image: &str,
    depth: usize,
) -> Result<(), Failure> {
    let indent = depth.saturating_mul(4);
    match detail {
        Detail::Flag(flag) => writeln!(out, "{:indent$}{name}: {flag}", "")?,
        Detail::Number(number) => writeln!(out, "{:indent$}{name}: {number}", "")?,
        Detail::Text(text) => writeln!(out, "{:indent$}{name}: {}", "", shown(text))?,
        Detail::File(file) => writeln!(out, "{:indent$}{name}: {}", "", shown(&file_name(image, file)))?,
        Detail::List(list) => {
            writeln!(out, "{:indent$}{name}:", "")?;
            for (index, item) in list.iter().enumerate() {
                print_detail(out, &format!("[{index}]"), item, image, depth.saturating_add(1))?;
            }
        }
        Detail::Table(details) => {
            writeln!(out, "{:indent$}{name}:", "")?;
            print_table(out, details, image, depth.saturating_add(1))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_827_696), "2000-02-29 12:34:56");
        assert_eq!(date(u32::MAX), "2106-02-07 06:28:15");
    }
}
