//! Which route services the router may take to be its own apps.
//!
//! A service that is itself an app of this router need not be reached by way of the load balancers in front. An app's
//! developer can register any host, though, and so could take a foreign service's name; the operator's list says for
//! which names the table may be asked.

/// A host that may be looked up in the own table: a name, or all names with one more label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HairpinName {
    rest: Box<str>,
    any_label: bool,
}

/// The names; an empty list allows all, as in Gorouter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<HairpinName>);

impl HairpinName {
    /// `name.example` or `*.name.example`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.strip_prefix("*.") {
            Some(rest) => Self { rest: rest.into(), any_label: true },
            None => Self { rest: text.into(), any_label: false },
        }
    }

    fn covers(&self, host: &str) -> bool {
        if !self.any_label {
            return host.eq_ignore_ascii_case(&self.rest);
        }
        host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(&self.rest))
    }
}

impl AllowList {
    /// The list as configured.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| HairpinName::new(name)).collect())
    }

    /// Whether `host`, without a port, may be looked up.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|name| name.covers(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (names, host, allowed) in [
            (&[][..], "anything.at.all", true),
            (&["rs.example"], "rs.example", true),
            (&["rs.example"], "RS.Example", true),
            (&["rs.example"], "a.rs.example", false),
            (&["rs.example"], "xrs.example", false),
            (&["*.example.com"], "rs.example.com", true),
            (&["*.example.com"], "example.com", false),
            (&["*.example.com"], ".example.com", false),
            (&["*.example.com"], "a.rs.example.com", false),
            (&["a.b", "*.c.d"], "x.c.d", true),
        ] {
            let list = AllowList::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(list.allows(host), allowed, "{names:?} {host}");
        }
    }
}
