//! `trueroute explain`: the configuration as the router uses it.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use super::read;
use crate::config::{self, Explained};

/// Prints every key of the file at `path`, a line each, with those marked that the file does not say; returns whether it
/// could be read.
///
/// # Errors
/// What writing to `out` says.
pub fn run(path: &Path, as_json: bool, out: &mut impl Write) -> io::Result<bool> {
    let explained = read(path).and_then(|text| config::explain(&text).map_err(|error| error.to_string()));
    let explained = match explained {
        Ok(explained) => explained,
        Err(error) => {
            eprintln!("trueroute: {error}");
            return Ok(false);
        }
    };
    if as_json {
        let settings: Vec<_> = explained.iter().map(entry).collect();
        serde_json::to_writer_pretty(&mut *out, &settings)?;
        writeln!(out)?;
        return Ok(true);
    }
    let length = |Explained { setting, .. }: &Explained| setting.key.len() + setting.value.len();
    let width = explained.iter().map(length).max().unwrap_or_default().min(60);
    for each in &explained {
        let pad = width.saturating_sub(length(each));
        let config::Setting { key, value } = &each.setting;
        if each.is_given {
            writeln!(out, "{key}: {value}")?;
        } else {
            writeln!(out, "{key}: {value}{:pad$}  # default", "")?;
        }
    }
    Ok(true)
}

fn entry(Explained { setting, is_given }: &Explained) -> serde_json::Value {
    json!({ "key": setting.key, "value": setting.value, "default": !is_given })
}
