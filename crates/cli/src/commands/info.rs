//! `diskimg info`: shows the metadata of an image.

use std::io::Write;

use diskimg::json;
use diskimg::{Image, Inspection, Opener};
use serde_json::Value;

use super::common::{CommonArgs, inspect_path, opener, warn_in_use};
use super::human;
use crate::args::{InfoArgs, Output};
use crate::failure::{About, Outcome};
use crate::output::{print_json, stdout};

pub(super) fn run(args: &InfoArgs, common: CommonArgs) -> Outcome {
    let opener = opener(&args.read.open, Some((&args.read.follow, &args.file)))?;
    let mut top = inspect_path(&opener, &args.file, common)?;
    if args.read.follow.follow {
        top.open_other_files(&*opener.resolver).about(&args.file)?;
        add_facts_of_extents(&opener, args, &mut top);
    }
    let mut images = vec![(args.file.to_string_lossy().into_owned(), top)];
    let is_given = !opener.parents.is_empty() || !opener.parent_formats.is_empty();
    if let ([(_, top)], true) = (images.as_slice(), args.backing_chain || is_given) {
        let below = opener.inspect_below(top).about(&args.file)?;
        for below in &below {
            warn_in_use(below.inspection.in_use.as_slice(), common);
        }
        if args.backing_chain {
            images.extend(below.into_iter().map(|below| (below.name, below.inspection)));
        }
    }
    match common.output {
        Output::Json => {
            let mut values: Vec<Value> =
                images.iter().map(|(file, inspection)| json::info(inspection, file)).collect();
            match args.backing_chain {
                true => print_json(&Value::Array(values))?,
                false => print_json(&values.swap_remove(0))?,
            }
        }
        Output::Human => {
            let mut out = stdout();
            for (index, (file, inspection)) in images.iter().enumerate() {
                if index > 0 {
                    writeln!(out)?;
                }
                human::print(&mut out, inspection, file)?;
            }
            out.flush()?;
        }
    }
    Ok(0)
}

/// Adds the facts that only the extents have, such as the size of a grain. An image that cannot be opened is described
/// without them.
fn add_facts_of_extents(opener: &Opener, args: &InfoArgs, top: &mut Inspection) {
    if top.other_files.is_empty() {
        return;
    }
    if let Ok(disk) = opener.open(&args.file) {
        top.info.details.clone_from(&disk.info().details);
        top.info.allocation_unit = disk.info().allocation_unit;
    }
}
