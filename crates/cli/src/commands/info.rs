//! `diskimg info`: shows the metadata of an image.

use std::io::Write;
use std::path::{Path, PathBuf};

use diskimg::json::{self, backing};
use diskimg::{Error, ErrorKind, Inspection, Opener, Reference, Resolver, WithinDirectory};
use serde_json::Value;

use super::common::{CommonArgs, inspect_path, opener};
use super::human;
use crate::args::{InfoArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::{is_dash, print_json, stdout};

pub(super) fn run(args: &InfoArgs, common: CommonArgs) -> Outcome {
    let opener = opener(&args.read.open, None)?;
    let top = inspect_path(&opener, &args.file)?;
    let mut images = vec![(args.file.clone(), top)];
    if args.backing_chain {
        chain(args, &opener, &mut images)?;
    }
    match common.output {
        Output::Json => {
            let mut values: Vec<Value> = images
                .iter()
                .map(|(file, inspection)| json::info(inspection, &file.to_string_lossy()))
                .collect();
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
                human::print(&mut out, inspection, &file.to_string_lossy())?;
            }
            out.flush()?;
        }
    }
    Ok(0)
}

/// Appends the layers below the first image, one by one.
fn chain(args: &InfoArgs, opener: &Opener, images: &mut Vec<(PathBuf, Inspection)>) -> Result<(), Failure> {
    let Some((mut file, mut reference)) = below(images) else { return Ok(()) };
    if !args.read.follow.follow || is_dash(&args.file) {
        return Err(reference.denied().into());
    }
    let resolver = WithinDirectory::of_image(&args.file).about(&args.file)?;
    let directory = args.file.parent().unwrap_or(Path::new("")).to_owned();
    loop {
        if images.len() > usize::try_from(opener.limits.chain_depth).unwrap_or(usize::MAX) {
            let error = Error::new(ErrorKind::Limit).field("chain of backing files");
            return Err(error.expected(format_args!("at most {} files", opener.limits.chain_depth)).into());
        }
        // The name relative to the directory that the resolver allows.
        let inner = file.strip_prefix(&directory).unwrap_or(&file).to_string_lossy().into_owned();
        reference.name = inner.into_bytes();
        let source = resolver.resolve(&reference)?;
        let mut layer = opener.clone();
        layer.format = match &reference.format {
            Some(name) => Some(diskimg::driver(name)?.format),
            None => return Err(reference.denied().because("the image does not record its format").into()),
        };
        layer.decompress = false;
        let info = layer.inspect_source(&source).about(&file)?.info;
        let sizes = std::fs::metadata(&file)?;
        images.push((file, Inspection::of_file(info, &sizes)));
        match below(images) {
            Some(next) => (file, reference) = next,
            None => return Ok(()),
        }
    }
}

/// Returns the path of the backing file of the last image, and its reference.
fn below(images: &[(PathBuf, Inspection)]) -> Option<(PathBuf, Reference)> {
    let (file, inspection) = images.last()?;
    let reference = backing(&inspection.info)?;
    let directory = file.parent().unwrap_or(Path::new(""));
    Some((directory.join(&*reference.name_lossy()), reference.clone()))
}
