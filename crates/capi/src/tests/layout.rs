//! The structures of the header have the layout of those in the source.

use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use crate::check::{CheckOptionsRecord, CheckResultRecord};
use crate::compare::CompareOptionsRecord;
use crate::convert_record::{ConvertOptionsRecord, ConvertResultRecord};
use crate::info_record::InfoRecord;
use crate::io::IoRecord;
use crate::list_records::{FindingRecord, ReferenceRecord, SnapshotRecord};
use crate::name_lists::{LimitRecord, SettingRecord};
use crate::open_record::OpenOptionsRecord;
use crate::parent_record::ParentRecord;
use crate::read::ExtentRecord;
use crate::stream_record::StreamRecord;
use crate::target_record::TargetRecord;

macro_rules! assert_layout {
    ($out:expr, $rust:ty as $c:literal: $($member:ident)*) => {
        writeln!($out, "ASSERT(sizeof({}) == {});", $c, size_of::<$rust>()).unwrap();
        $(
            let (member, offset) = (stringify!($member), offset_of!($rust, $member));
            writeln!($out, "ASSERT(offsetof({}, {member}) == {offset});", $c).unwrap();
        )*
    };
}

#[test]
fn structures_have_the_same_layout_in_c_and_rust() {
    if Command::new("cc").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "cc is not installed");
        eprintln!("skipped: cc is not installed");
        return;
    }
    let mut c = String::from(
        "#include <diskimg.h>\n#define ASSERT(condition) _Static_assert(condition, #condition)\n",
    );
    assert_layout!(c, IoRecord as "diskimg_io": struct_size flags reserved user pread size next_data pwrite zero set_size flush close);
    assert_layout!(c, OpenOptionsRecord as "diskimg_open_options": struct_size flags format max_virtual_size max_cache
        max_decoder_memory max_temporary temporary_directory snapshot dir_fd max_depth threads reserved resolve
        resolve_user log log_user member limits progress progress_user cancel parents parent_count search_directory);
    assert_layout!(c, ParentRecord as "diskimg_parent": struct_size path format reserved);
    assert_layout!(c, TargetRecord as "diskimg_target": struct_size path fd reserved io write write_user);
    assert_layout!(c, StreamRecord as "diskimg_stream": struct_size read read_user length);
    assert_layout!(c, CheckOptionsRecord as "diskimg_check_options": struct_size flags reserved problem problem_user progress
        progress_user cancel);
    assert_layout!(c, CompareOptionsRecord as "diskimg_compare_options": struct_size flags reserved progress progress_user
        cancel);
    assert_layout!(c, SettingRecord as "diskimg_setting": struct_size name values help);
    assert_layout!(c, LimitRecord as "diskimg_limit": struct_size name default_value help);
    assert_layout!(c, ConvertOptionsRecord as "diskimg_convert_options": struct_size flags format threads level preallocation reserved
        max_memory sparse_size settings progress progress_user cancel rate);
    assert_layout!(c, ConvertResultRecord as "diskimg_convert_result": struct_size virtual_size written copied zeros);
    assert_layout!(c, CheckResultRecord as "diskimg_check_result": struct_size corruptions leaks total_units allocated_units
        compressed_units fragmented_units image_end);
    assert_layout!(c, InfoRecord as "diskimg_info": struct_size format wrapper flags version virtual_size file_size allocated_size
        cluster_size subformat compression encryption content);
    assert_layout!(c, ReferenceRecord as "diskimg_reference": struct_size role offset_known name name_length format offset);
    assert_layout!(c, SnapshotRecord as "diskimg_snapshot": struct_size id name virtual_size vm_state_size
        vm_clock_nanoseconds date_seconds date_nanoseconds);
    assert_layout!(c, FindingRecord as "diskimg_finding": struct_size severity offset_known check message offset);
    assert_layout!(c, ExtentRecord as "diskimg_extent": start length file_offset flags depth);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("layout.c");
    std::fs::write(&path, c).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include");
    let status =
        Command::new("cc").arg("-std=c11").arg("-fsyntax-only").arg("-I").arg(include).arg(&path).status();
    assert!(status.unwrap().success());
}
