//! Reading a section key by key: each is taken once, with its type; what is left over is reported.
//!
//! Every error carries the dotted key and the line, so that the parts above say only which key they want and as what.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use super::error::{ConfigError, Problem, Warning, shown};
use super::scalar::Meaning;
use super::yaml::{Document, Kind, NodeId, Scalar, Style};

/// How often a document may refer to its own parts, all told. A real file needs a few dozen.
const BUDGET: usize = 1_000_000;
/// How deep merge keys may refer to mappings with merge keys.
const MERGE_DEPTH: usize = 32;

/// A document that is being read.
pub(super) struct Reader {
    doc: Document,
    warnings: RefCell<Vec<Warning>>,
    visited: Cell<usize>,
    /// The dotted keys that were taken and have a value.
    given: RefCell<HashSet<String>>,
    /// What was wrong so far, where reading goes on past it.
    faults: Option<RefCell<Vec<ConfigError>>>,
}

impl Reader {
    /// One that ends at the first thing that is wrong.
    pub(super) fn new(doc: Document) -> Reader {
        Reader { doc, warnings: RefCell::default(), visited: Cell::new(0), given: RefCell::default(), faults: None }
    }

    /// One that takes the default for what is wrong and goes on, to find the rest.
    pub(super) fn surveying(doc: Document) -> Reader {
        Reader { faults: Some(RefCell::default()), ..Reader::new(doc) }
    }

    /// The result; in a survey a stand-in for what is wrong, which is remembered. What a rule says of a key that is wrong
    /// already would follow from the stand-in, and not from the file.
    fn absorb<T>(&self, result: Result<T, ConfigError>, stand_in: impl FnOnce() -> T) -> Result<T, ConfigError> {
        match (result, &self.faults) {
            (Err(error), Some(faults)) => {
                if !error.key().is_some_and(|key| faults.borrow().iter().any(|told| told.key() == Some(key))) {
                    faults.borrow_mut().push(error);
                }
                Ok(stand_in())
            }
            (result, _) => result,
        }
    }

    /// What a survey found wrong, in the order of reading.
    pub(super) fn faults(&mut self) -> Vec<ConfigError> {
        self.faults.take().map(RefCell::into_inner).unwrap_or_default()
    }

    /// Reads the whole document as one section.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let top = Field { reader: self, path: String::new(), node: self.doc.root().unwrap_or(NOTHING) };
        if top.node == NOTHING || top.is_null() {
            return Section::empty(self, String::new()).finish(read);
        }
        top.section(read)
    }

    pub(super) fn warnings(self) -> Vec<Warning> {
        self.warnings.into_inner()
    }

    /// Whether a key was taken that is there and is not null.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.borrow().contains(key)
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.warnings.borrow_mut().push(warning);
    }
}

/// No node has this number: a document has one node per event at most.
const NOTHING: NodeId = NodeId::MAX;

/// A value with its dotted key.
pub(super) struct Field<'r> {
    reader: &'r Reader,
    path: String,
    node: NodeId,
}

/// A type that a value can be read as.
pub(super) trait Decode: Sized {
    fn decode(field: &Field<'_>) -> Result<Self, ConfigError>;
}

impl<'r> Field<'r> {
    fn line(&self) -> usize {
        self.reader.doc.node(self.node).line
    }

    /// An error about this value.
    pub(super) fn fault(&self, problem: impl Into<Problem>) -> ConfigError {
        let key = if self.path.is_empty() { "(document)".to_owned() } else { self.path.clone() };
        ConfigError::Key { key, line: Some(self.line()), problem: problem.into() }
    }

    fn is_null(&self) -> bool {
        matches!(&self.reader.doc.node(self.node).kind, Kind::Scalar(s) if s.meaning() == Meaning::Null)
    }

    pub(super) fn mismatch(&self, wanted: &'static str) -> ConfigError {
        let found = match &self.reader.doc.node(self.node).kind {
            Kind::Scalar(s) => format!("{} `{}`", s.meaning().tag(), shown(&s.text)),
            Kind::List(_) => "!!seq".to_owned(),
            Kind::Map(_) => "!!map".to_owned(),
        };
        self.fault(Problem::Kind { found, wanted })
    }

    pub(super) fn scalar(&self, wanted: &'static str) -> Result<&'r Scalar, ConfigError> {
        match &self.reader.doc.node(self.node).kind {
            Kind::Scalar(scalar) => Ok(scalar),
            _ => Err(self.mismatch(wanted)),
        }
    }

    pub(super) fn int<T: TryFrom<i128>>(&self, wanted: &'static str) -> Result<T, ConfigError> {
        let n = self.scalar(wanted)?.as_int();
        n.and_then(|n| T::try_from(n).ok()).ok_or_else(|| self.mismatch(wanted))
    }

    pub(super) fn decode<T: Decode>(&self) -> Result<T, ConfigError> {
        T::decode(self)
    }

    /// The entries of a list; null entries are left out, as in yaml.v3.
    pub(super) fn list(&self) -> Result<Vec<Field<'r>>, ConfigError> {
        let Kind::List(items) = &self.reader.doc.node(self.node).kind else {
            return Err(self.mismatch("a list"));
        };
        self.spend(items.len())?;
        let field = |(n, node): (usize, &NodeId)| Field {
            reader: self.reader,
            path: format!("{}[{n}]", self.path),
            node: *node,
        };
        Ok(items.iter().enumerate().map(field).filter(|f| !f.is_null()).collect())
    }

    /// Reads a mapping, and warns of the keys that `read` leaves.
    pub(super) fn section<T>(
        &self,
        read: impl FnOnce(&mut Section<'r>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let entries = self.entries(0)?;
        Section { line: Some(self.line()), entries, ..Section::empty(self.reader, self.path.clone()) }.finish(read)
    }

    fn spend(&self, nodes: usize) -> Result<(), ConfigError> {
        let visited = self.reader.visited.get().saturating_add(nodes).saturating_add(1);
        self.reader.visited.set(visited);
        if visited > BUDGET { Err(self.fault(Problem::Aliasing)) } else { Ok(()) }
    }

    /// The entries of a mapping after its merge keys: its own keys win over merged ones, and an earlier merged mapping
    /// over a later one.
    fn entries(&self, depth: usize) -> Result<Entries<'r>, ConfigError> {
        let Kind::Map(pairs) = &self.reader.doc.node(self.node).kind else {
            return Err(self.mismatch("a section"));
        };
        self.spend(pairs.len())?;
        let mut entries = Entries::default();
        let mut merged = None;
        let mut first_lines: HashMap<&str, usize> = HashMap::new();
        for (key, value) in pairs {
            let key_field = Field { reader: self.reader, path: self.path.clone(), node: *key };
            let name = key_field.scalar("a key")?;
            let line = key_field.line();
            if let Some(first) = first_lines.insert(&name.text, line) {
                let key = join(&self.path, &name.text);
                let twice = ConfigError::Key { key, line: Some(line), problem: Problem::Duplicate { first } };
                self.reader.absorb(Err(twice), || ())?;
                continue;
            }
            if name.style == Style::Plain && name.text == "<<" {
                merged = Some(Field { reader: self.reader, path: join(&self.path, "<<"), node: *value });
            } else if !key_field.is_null() {
                entries.add(&name.text, Entry { node: *value, line, taken: false });
            }
        }
        if let Some(merged) = merged {
            merged.merge_into(&mut entries, depth)?;
        }
        Ok(entries)
    }

    fn merge_into(&self, entries: &mut Entries<'r>, depth: usize) -> Result<(), ConfigError> {
        if depth >= MERGE_DEPTH {
            return Err(self.fault(Problem::Aliasing));
        }
        let sources = match &self.reader.doc.node(self.node).kind {
            Kind::List(_) => self.list()?,
            _ => vec![Field { path: self.path.clone(), ..*self }],
        };
        for source in sources {
            for (name, entry) in source.entries(depth + 1)?.list {
                entries.add(name, entry);
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Entry {
    node: NodeId,
    line: usize,
    taken: bool,
}

/// The entries of a section: in their order, and by name.
#[derive(Default)]
struct Entries<'r> {
    list: Vec<(&'r str, Entry)>,
    by_name: HashMap<&'r str, usize>,
}

impl<'r> Entries<'r> {
    /// Adds an entry unless there is one of that name.
    fn add(&mut self, name: &'r str, entry: Entry) {
        self.by_name.entry(name).or_insert_with(|| {
            self.list.push((name, entry));
            self.list.len() - 1
        });
    }
}

/// A mapping that is being read.
pub(super) struct Section<'r> {
    reader: &'r Reader,
    path: String,
    line: Option<usize>,
    entries: Entries<'r>,
}

impl<'r> Section<'r> {
    fn empty(reader: &'r Reader, path: String) -> Section<'r> {
        Section { reader, path, line: None, entries: Entries::default() }
    }

    fn finish<T>(mut self, read: impl FnOnce(&mut Section<'r>) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let out = read(&mut self)?;
        for (name, entry) in self.entries.list.iter().filter(|(_, entry)| !entry.taken) {
            self.reader.warn(Warning::UnknownKey { key: join(&self.path, name), line: entry.line });
        }
        Ok(out)
    }

    /// Takes a key; none when it is absent or null.
    pub(super) fn field(&mut self, key: &'static str) -> Option<Field<'r>> {
        let at = *self.entries.by_name.get(key)?;
        let (_, entry) = self.entries.list.get_mut(at)?;
        entry.taken = true;
        let field = Field { reader: self.reader, path: join(&self.path, key), node: entry.node };
        if field.is_null() {
            return None;
        }
        self.reader.given.borrow_mut().insert(field.path.clone());
        Some(field)
    }

    /// Takes a key whose value nobody uses.
    pub(super) fn skip(&mut self, key: &'static str) {
        self.field(key);
    }

    /// Warns of a key that is there and changes nothing, whatever it says. What Go writes of a zero value says nothing.
    pub(super) fn has_no_effect(&self, key: &'static str) {
        const ZERO: [&str; 4] = ["", "0", "0s", "false"];
        let Some((_, entry)) = self.entries.by_name.get(key).and_then(|at| self.entries.list.get(*at)) else { return };
        if let Kind::Scalar(said) = &self.reader.doc.node(entry.node).kind
            && said.meaning() != Meaning::Null
            && !ZERO.contains(&&*said.text)
        {
            self.reader.warn(Warning::NoEffect { key: join(&self.path, key), line: entry.line });
        }
    }

    /// Takes a key; the default when it is absent or null.
    pub(super) fn or<T: Decode>(&mut self, key: &'static str, default: T) -> Result<T, ConfigError> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// Takes a key with a list behind it; the default when it is absent, and nothing when it is null: yaml.v3 empties
    /// lists then, where it keeps scalars and sections.
    pub(super) fn list_or<T: Decode>(&mut self, key: &'static str, default: Vec<T>) -> Result<Vec<T>, ConfigError> {
        let default = if self.entries.by_name.contains_key(key) { Vec::new() } else { default };
        self.or(key, default)
    }

    /// What a rule says about this section; in a survey, none where it is broken.
    pub(super) fn demand<T>(&self, result: Result<T, ConfigError>) -> Result<Option<T>, ConfigError> {
        self.reader.absorb(result.map(Some), || None)
    }

    /// Says that a key is wrong, and ends the reading unless it is a survey.
    pub(super) fn refuse(&self, key: &str, problem: impl Into<Problem>) -> Result<(), ConfigError> {
        self.reader.absorb(Err(self.fault(key, problem)), || ())
    }

    /// Whether nothing was wrong so far with a key and what is below it.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        let path = join(&self.path, key);
        let below =
            |told: &str| told.strip_prefix(&*path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let faults = self.reader.faults.as_ref().map(RefCell::borrow);
        !faults.is_some_and(|faults| faults.iter().filter_map(ConfigError::key).any(below))
    }

    /// Takes a key; none when it is absent or null.
    pub(super) fn optional<T: Decode>(&mut self, key: &'static str) -> Result<Option<T>, ConfigError> {
        let read = self.field(key).map(|field| T::decode(&field)).transpose();
        self.reader.absorb(read, || None)
    }

    /// Takes a key with a section behind it; an absent one reads as an empty one.
    pub(super) fn section<T: Default>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'r>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let read = match self.field(key) {
            Some(field) => field.section(read),
            None => Section::empty(self.reader, join(&self.path, key)).finish(read),
        };
        self.reader.absorb(read, T::default)
    }

    /// Takes a key with a list of sections behind it.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'r>) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(field) = self.field(key) else { return Ok(Vec::new()) };
        let items = self.reader.absorb(field.list(), Vec::new)?;
        let read = items.iter().map(|item| self.reader.absorb(item.section(&mut read).map(Some), || None));
        Ok(read.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// An error about a key of this section, whether it is there or not.
    pub(super) fn fault(&self, key: &str, problem: impl Into<Problem>) -> ConfigError {
        let own = self.entries.by_name.get(key).and_then(|at| self.entries.list.get(*at)).map(|(_, entry)| entry.line);
        ConfigError::Key { key: join(&self.path, key), line: own.or(self.line), problem: problem.into() }
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.reader.warn(warning);
    }
}

fn join(path: &str, key: &str) -> String {
    let key = shown(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
