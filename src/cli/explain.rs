//! `trueroute explain`: the configuration as the router uses it.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use crate::config::{self, Setting};

/// Prints every key of the file at `path`, a line each, the default ones marked; returns whether the file could be
/// read.
///
/// # Errors
/// What writing to `out` says.
pub fn run(path: &Path, as_json: bool, out: &mut impl Write) -> io::Result<bool> {
    let settings = match config::load(path) {
        Ok(parsed) => parsed.config.effective(),
        Err(error) => {
            eprintln!("trueroute: {error}");
            return Ok(false);
        }
    };
    if as_json {
        let settings: Vec<_> = settings.iter().map(entry).collect();
        serde_json::to_writer_pretty(&mut *out, &settings)?;
        writeln!(out)?;
        return Ok(true);
    }
    let width = settings.iter().map(|setting| setting.key.len() + setting.value.len()).max().unwrap_or_default();
    for Setting { key, value, is_default } in settings {
        let pad = width.min(60).saturating_sub(key.len() + value.len());
        if is_default {
            writeln!(out, "{key}: {value}{:pad$}  # default", "")?;
        } else {
            writeln!(out, "{key}: {value}")?;
        }
    }
    Ok(true)
}

fn entry(setting: &Setting) -> serde_json::Value {
    json!({ "key": setting.key, "value": setting.value, "default": setting.is_default })
}
