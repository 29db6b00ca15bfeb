//! Tests of errors.

use super::*;

#[test]
fn error_is_one_pointer_wide() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
}

#[test]
fn clone_has_all_facts() {
    let error =
        Error::from(io::Error::from_raw_os_error(28)).field("target").at(40).with_remedy(Remedy::Force);
    let clone = error.clone();
    assert_eq!(clone.to_string(), error.to_string());
    assert_eq!((clone.offset(), clone.remedy()), (Some(40), Some(Remedy::Force)));
    assert_eq!(clone.os_error(), Some(28));
}

#[test]
fn message_names_guest_and_host_offset() {
    let error = Error::new(ErrorKind::Truncated)
        .format(Format::new("qcow2"))
        .field("data cluster")
        .at(327_680)
        .guest(65_536)
        .because("the file ends at byte 300000");
    assert_eq!(
        error.to_string(),
        "qcow2: data cluster at byte 327680 for guest offset 65536: the file ends at byte 300000"
    );
}

#[test]
fn os_error_is_found_among_the_causes_and_printed_once() {
    let error = Error::from(io::Error::from_raw_os_error(28)).field("target");
    assert_eq!(error.os_error(), Some(28));
    assert_eq!(error.to_string().matches("No space").count(), 1);
    assert_eq!(
        Error::from(io::Error::from_raw_os_error(2)).to_string(),
        "No such file or directory (os error 2)"
    );
}

#[test]
fn error_survives_conversion_to_io_error_and_back() {
    let inner = Error::new(ErrorKind::Limit).field("dictionary").at(6);
    let back = Error::from(io::Error::from(inner));
    assert_eq!(back.kind(), ErrorKind::Limit);
    assert_eq!(back.offset(), Some(6));
}

#[test]
fn internal_error_message_requests_a_report() {
    let error = Error::new(ErrorKind::Internal).format(Format::new("vdi")).because("lengths do not add up");
    assert_eq!(error.to_string(), "vdi: internal error, please report it: lengths do not add up");
    assert_eq!(error.kind().name(), "internal");
}

#[test]
fn name_from_an_image_is_escaped() {
    let error = Error::new(ErrorKind::Denied).field("backing file").found_name(b"a\nb");
    assert_eq!(error.to_string(), "backing file is \"a\\nb\"");
}

#[test]
fn debug_prints_the_message_and_its_alternate_form_the_fields() {
    let error = Error::new(ErrorKind::Corrupt).format(Format::new("qcow2")).field("l1_size").found(7);
    assert_eq!(format!("{error:?}"), "qcow2: l1_size is 7");
    let fields = format!("{error:#?}");
    assert!(fields.contains("kind: Corrupt") && fields.contains('\n'), "{fields}");
}

#[test]
fn os_error_is_found_within_errors_of_the_standard_library() {
    let system = io::Error::from_raw_os_error(13);
    let within = io::Error::other(io::Error::other(system));
    assert_eq!(Error::from(within).field("target").os_error(), Some(13));
    let ours = io::Error::from(Error::from(io::Error::from_raw_os_error(28)).field("source"));
    assert_eq!(Error::new(ErrorKind::Io).source(ours).os_error(), Some(28));
}

#[test]
fn exceeded_limit_has_a_name_and_a_limit_of_a_format_has_none() {
    let limits = crate::Limits { virtual_size: 10, ..crate::Limits::default() };
    let error = limits.check_virtual_size(11).unwrap_err();
    assert_eq!(error.limit().map(LimitKind::name), Some("virtual-size"));
    assert_eq!(Error::new(ErrorKind::Limit).field("members").limit(), None);
}

#[test]
fn format_that_is_only_named_is_not_part_of_the_message() {
    let error = Error::new(ErrorKind::Unsupported).field("format").found("vhdx");
    let error = error.about_format(Format::new("vhdx"));
    assert_eq!(error.to_string(), "format is vhdx");
    assert_eq!(error.format_name(), Some(Format::new("vhdx")));
}
