//! `diskimg formats`: lists the formats and their options.

use std::io::Write;

use diskimg::core::SettingHelp;
use diskimg::{Driver, Wrapper, drivers};
use serde_json::{Value, json};

use super::common::CommonArgs;
use crate::args::Output;
use crate::failure::Outcome;
use crate::output::{print_json, stdout};

const WRAPPERS: [Wrapper; 3] = [Wrapper::Gzip, Wrapper::Xz, Wrapper::Zstd];

pub(super) fn run(common: CommonArgs) -> Outcome {
    if common.output == Output::Json {
        print_json(&json!({
            "formats": drivers().iter().map(|driver| format_json(driver)).collect::<Value>(),
            "wrappers": WRAPPERS.iter().map(|wrapper| json!({
                "name": wrapper.name(), "extensions": wrapper.extensions(),
            })).collect::<Value>(),
        }))?;
        return Ok(0);
    }
    let mut out = stdout();
    for driver in drivers() {
        writeln!(
            out,
            "{:<8} {}: {}",
            driver.format.name(),
            driver.description,
            abilities(driver).join(", ")
        )?;
        for setting in settings(driver) {
            writeln!(
                out,
                "           -o {}={}\n              {}",
                setting.name, setting.values, setting.help
            )?;
        }
    }
    let wrappers: Vec<&str> = WRAPPERS.iter().map(|wrapper| wrapper.name()).collect();
    writeln!(out, "decompressed automatically: {}", wrappers.join(", "))?;
    out.flush()?;
    Ok(0)
}

/// Returns the settings for `-o`.
fn settings(driver: &Driver) -> impl Iterator<Item = &'static SettingHelp> {
    let is_written = abilities(driver).contains(&"create");
    diskimg::settings(driver).chain([&SIZE].into_iter().filter(move |_| is_written))
}

static SIZE: SettingHelp = SettingHelp::new(
    "size",
    "a size; none by default",
    "size of the disk, for create instead of the argument",
);

fn abilities(driver: &Driver) -> Vec<&'static str> {
    let mut abilities = vec!["read"];
    if driver.stream.is_some() {
        abilities.push("stream");
    }
    // Raw is written without a driver.
    if driver.create.is_some() || driver.format.name() == "raw" {
        abilities.push("create");
    }
    if driver.check.is_some() {
        abilities.push("check");
    }
    abilities
}

fn format_json(driver: &Driver) -> Value {
    json!({
        "name": driver.format.name(),
        "description": driver.description,
        "extensions": driver.extensions,
        "abilities": abilities(driver),
        "options": settings(driver).map(|setting| json!({
            "name": setting.name, "values": setting.values, "help": setting.help,
        })).collect::<Value>(),
    })
}
