//! `trueroute routes`: the table of a running router.
//!
//! Routes are printed as they come: however large the table is, neither side holds it twice.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    admin::{AskError, Asker, escaped},
    text::{app, clean, span},
};
use crate::admin::shapes::{Endpoint, Head, Mode, Route, State, VERSION};

/// Rows by which the columns are measured; what is wider further down sticks out.
const MEASURED: usize = 500;
/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// The lines and columns of a terminal that does not tell.
const SIZE: (usize, usize) = (24, 80);

const COLUMNS: [&str; 8] = ["ROUTE", "ENDPOINT", "APP", "MODE", "PROVEN NAME", "AGE", "IN FLIGHT", "STATE"];
type Row = [String; COLUMNS.len()];

/// What is to be shown, and how.
#[derive(Debug, Default)]
pub struct Wanted {
    /// A host, with a path or without, or a wildcard; all routes if there is none.
    pub host: Option<String>,
    /// Again every second.
    pub watch: bool,
    /// As JSON.
    pub json: bool,
}

/// Prints the routes that are `wanted`; returns whether there is any.
///
/// # Errors
/// No answer, or what writing to `out` says.
pub fn run(asker: &Asker, wanted: &Wanted, out: &mut impl Write) -> Result<bool, AskError> {
    let host = wanted.host.as_deref().map(|host| format!("?host={}", escaped(host))).unwrap_or_default();
    let path = format!("/pools{host}");
    if wanted.watch {
        return watch(asker, &path, wanted.json, out);
    }
    let found = if wanted.json { copy(asker, &path, out)? } else { list(asker, &path, usize::MAX, out)? };
    if !found {
        match &wanted.host {
            Some(host) => eprintln!("trueroute: no route for {host}; `trueroute why {host}` says what follows"),
            None => eprintln!("trueroute: the table is empty"),
        }
    }
    Ok(found)
}

/// Looks again every second, for ever. A terminal is drawn anew; anything else gets one look after the other.
fn watch(asker: &Asker, path: &str, json: bool, out: &mut impl Write) -> Result<bool, AskError> {
    let is_terminal = io::stdout().is_terminal() && !json;
    loop {
        let mut page = Vec::new();
        let (lines, columns) = if is_terminal { size() } else { (usize::MAX, usize::MAX) };
        let height = lines.saturating_sub(2);
        let outcome = match json {
            true => copy(asker, path, &mut page),
            false => list(asker, path, height, &mut page),
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => writeln!(page, "no routes")?,
            // The router may be about to start again.
            Err(error @ (AskError::Unreachable { .. } | AskError::Broken { .. })) => writeln!(page, "{error}")?,
            Err(error) => return Err(error),
        }
        if is_terminal {
            draw(&page, columns, out)?;
        } else {
            out.write_all(&page)?;
            if !json {
                writeln!(out)?;
            }
        }
        out.flush()?;
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a command has one thread and nothing else to do")]
fn pause() {
    thread::sleep(EVERY);
}

/// Draws a page over the last one, without a moment at which the screen is empty. A line that is too wide is cut: one that
/// wrapped would push the first lines off the screen.
fn draw(page: &[u8], columns: usize, out: &mut impl Write) -> io::Result<()> {
    write!(out, "\x1b[H")?;
    for line in page.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        match line.char_indices().nth(columns.saturating_sub(1)) {
            // Behind a full line, what clears the rest of it would clear its last column.
            Some((last, _)) if line[last..].chars().nth(1).is_some() => write!(out, "{}…\r\n", &line[..last])?,
            Some(_) => write!(out, "{line}\r\n")?,
            None => write!(out, "{line}\x1b[K\r\n")?,
        }
    }
    write!(out, "\x1b[J")
}

/// The lines and columns of the terminal.
fn size() -> (usize, usize) {
    let told = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
    size_of(&told.map(|told| told.stdout).unwrap_or_default())
}

/// What `stty size` tells, as far as it can be.
fn size_of(told: &[u8]) -> (usize, usize) {
    let text = str::from_utf8(told).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<usize>().unwrap_or_default());
    let mut next = |or| numbers.next().filter(|number| *number > 4).unwrap_or(or);
    (next(SIZE.0), next(SIZE.1))
}

/// The answer as it is.
fn copy(asker: &Asker, path: &str, out: &mut impl Write) -> Result<bool, AskError> {
    let mut found = false;
    each_line(asker, path, |line| {
        found |= line.starts_with("{\"route\"");
        writeln!(out, "{line}")?;
        Ok(true)
    })?;
    Ok(found)
}

/// The answer as a table of at most so many lines.
fn list(asker: &Asker, path: &str, lines: usize, out: &mut impl Write) -> Result<bool, AskError> {
    let mut table = Printed::default();
    let (mut routes, mut endpoints, mut whole) = (0_usize, 0_usize, true);
    each_line(asker, path, |line| {
        let Some(route) = line.strip_prefix("{\"route\"").map(|_| line.trim_end_matches(',')) else { return Ok(true) };
        let route: Route = serde_json::from_str(route).map_err(io::Error::other)?;
        let rows = rows(&route);
        if table.lines + rows.len() + 2 > lines {
            whole = false;
            return Ok(false);
        }
        (routes, endpoints) = (routes + 1, endpoints + route.endpoints.len());
        rows.into_iter().try_for_each(|row| table.print(row, out))?;
        Ok(true)
    })?;
    table.finish(out)?;
    if !whole {
        writeln!(out, "... and more: name a HOST")?;
    } else if routes > 0 {
        writeln!(out, "{}, {}", count(routes, "route"), count(endpoints, "endpoint"))?;
    }
    Ok(routes > 0 || !whole)
}

/// Hands over the lines of an answer until `take` wants no more, and sees to it that it is whole.
fn each_line(asker: &Asker, path: &str, mut take: impl FnMut(&str) -> Result<bool, io::Error>) -> Result<(), AskError> {
    let broken = |error| asker.broken(error);
    let mut lines = asker.get(path)?.lines();
    let first = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into())).map_err(broken)?;
    let head: Head = serde_json::from_str(&format!("{first}]}}")).map_err(|error| broken(io::Error::other(error)))?;
    if head.version != VERSION {
        let error = format!("it is of version {}, and this program reads version {VERSION}", head.version);
        return Err(broken(io::Error::other(error)));
    }
    take(&first)?;
    for line in lines {
        let line = line.map_err(broken)?;
        if !take(&line)? || line.starts_with("],") {
            return Ok(());
        }
    }
    Err(broken(io::ErrorKind::UnexpectedEof.into()))
}

/// Rows on their way to a table whose columns are measured by the first of them.
#[derive(Default)]
struct Printed {
    waiting: Vec<Row>,
    widths: Option<[usize; COLUMNS.len()]>,
    lines: usize,
}

impl Printed {
    fn print(&mut self, row: Row, out: &mut impl Write) -> io::Result<()> {
        self.lines += 1;
        match &self.widths {
            Some(widths) => line(&row, widths, out),
            None => {
                self.waiting.push(row);
                if self.waiting.len() >= MEASURED { self.measure(out) } else { Ok(()) }
            }
        }
    }

    fn measure(&mut self, out: &mut impl Write) -> io::Result<()> {
        let width = |at: usize| self.waiting.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths = std::array::from_fn(|at| width(at).max(COLUMNS[at].len()));
        line(&COLUMNS.map(str::to_owned), &widths, out)?;
        for row in self.waiting.drain(..) {
            line(&row, &widths, out)?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.widths.is_none() && !self.waiting.is_empty() { self.measure(out) } else { Ok(()) }
    }
}

fn line(row: &Row, widths: &[usize; COLUMNS.len()], out: &mut impl Write) -> io::Result<()> {
    let mut text = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        match at {
            0 => text.push_str(&format!("{cell:width$}")),
            // Numbers stand below each other.
            5 | 6 => text.push_str(&format!("  {cell:>width$}")),
            _ => text.push_str(&format!("  {cell:width$}")),
        }
    }
    writeln!(out, "{}", text.trim_end())
}

/// A line for each endpoint; the route stands on the first.
fn rows(route: &Route) -> Vec<Row> {
    let key = clean(&route.route);
    if route.endpoints.is_empty() {
        let dash = || "-".to_owned();
        let since = span(route.changed_s);
        return vec![[key, "none".into(), dash(), dash(), dash(), dash(), dash(), format!("no endpoints for {since}")]];
    }
    let mut rows: Vec<Row> = route.endpoints.iter().map(row).collect();
    if let Some(first) = rows.first_mut() {
        first[0] = key;
    }
    rows
}

fn row(endpoint: &Endpoint) -> Row {
    let dash = || "-".to_owned();
    [
        String::new(),
        clean(&endpoint.address),
        clean(&app(&endpoint.app, &endpoint.index)),
        mode(endpoint.mode).into(),
        endpoint.proof.as_ref().map_or_else(dash, |proof| clean(&proof.name)),
        endpoint.age_s.map_or_else(dash, span),
        endpoint.in_flight.to_string(),
        state(endpoint),
    ]
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Plain => "plain",
        Mode::Tls => "tls",
        Mode::Mutual => "mutual",
    }
}

pub(super) fn state(endpoint: &Endpoint) -> String {
    match endpoint.state {
        State::Ok => "ok".into(),
        State::Resting => format!("failed, rests for {}", span(endpoint.resting_s.unwrap_or_default())),
        State::Overloaded => "overloaded".into(),
        State::Stale => "stale, but kept".into(),
        State::Restored => "restored, not confirmed yet".into(),
        State::Unproven => "unproven yet".into(),
    }
}

/// `1 route`, `2 routes`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::shapes::Proof;

    fn endpoint(address: &str, state: State) -> Endpoint {
        let tls = !matches!(state, State::Resting);
        Endpoint {
            address: address.into(),
            app: "5c8b1f6e-0000-4000-8000-0123456789ab".into(),
            index: "0".into(),
            mode: if tls { Mode::Mutual } else { Mode::Plain },
            age_s: (state != State::Restored).then_some(75),
            in_flight: 12,
            resting_s: Some(28),
            proof: (state == State::Ok).then(|| Proof { name: "8f0b0f4e-5c1d".into(), ..Proof::default() }),
            state,
            ..Endpoint::default()
        }
    }

    #[test]
    fn a_table_is_understood_at_once() {
        let route = |key: &str, endpoints| Route { route: key.into(), endpoints, changed_s: 9, ..Route::default() };
        let routes = [
            route("*.example.com", vec![endpoint("10.0.0.9:8080", State::Resting)]),
            route(
                "app.example.com/api",
                vec![
                    endpoint("10.0.0.1:61001", State::Ok),
                    endpoint("10.0.0.2:61001", State::Unproven),
                    endpoint("[fd00::1]:61001", State::Stale),
                    endpoint("10.0.0.4:61001", State::Overloaded),
                    endpoint("10.0.0.5:61001", State::Restored),
                ],
            ),
            route("gone.example.com", vec![]),
        ];
        let (mut table, mut out) = (Printed::default(), Vec::new());
        for row in routes.iter().flat_map(rows) {
            table.print(row, &mut out).unwrap();
        }
        table.finish(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
ROUTE                ENDPOINT         APP         MODE    PROVEN NAME    AGE  IN FLIGHT  STATE
*.example.com        10.0.0.9:8080    5c8b1f6e/0  plain   -               1m         12  failed, rests for 28s
app.example.com/api  10.0.0.1:61001   5c8b1f6e/0  mutual  8f0b0f4e-5c1d   1m         12  ok
                     10.0.0.2:61001   5c8b1f6e/0  mutual  -               1m         12  unproven yet
                     [fd00::1]:61001  5c8b1f6e/0  mutual  -               1m         12  stale, but kept
                     10.0.0.4:61001   5c8b1f6e/0  mutual  -               1m         12  overloaded
                     10.0.0.5:61001   5c8b1f6e/0  mutual  -                -         12  restored, not confirmed yet
gone.example.com     none             -           -       -                -          -  no endpoints for 9s
"
        );
    }

    #[test]
    fn a_long_table_is_printed_as_it_comes() {
        let route = |key: String| Route { route: key, ..Route::default() };
        let (mut table, mut out) = (Printed::default(), Vec::new());
        for number in 0..MEASURED - 1 {
            rows(&route(number.to_string())).into_iter().for_each(|row| table.print(row, &mut out).unwrap());
        }
        assert!(out.is_empty(), "the columns are not measured yet");
        for key in ["x", "a-key-that-is-much-longer-than-the-others"] {
            rows(&route(key.into())).into_iter().for_each(|row| table.print(row, &mut out).unwrap());
        }
        assert_eq!(out.split(|byte| *byte == b'\n').count(), MEASURED + 3);
    }

    #[test]
    fn a_screen_is_drawn_over_the_last_one() {
        let mut out = Vec::new();
        draw(b"a\nb", 80, &mut out).unwrap();
        assert_eq!(out, b"\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let mut out = Vec::new();
        draw("äbcd\näbcde\näbc".as_bytes(), 4, &mut out).unwrap();
        assert_eq!(str::from_utf8(&out).unwrap(), "\x1b[Häbcd\r\näbc…\r\näbc\x1b[K\r\n\x1b[J");
        for (told, size) in [("50 132\n", (50, 132)), ("0 0\n", SIZE), ("", SIZE), ("50", (50, 80)), ("a b", SIZE)] {
            assert_eq!(size_of(told.as_bytes()), size, "{told:?}");
        }
    }
}
