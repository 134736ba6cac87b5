//! The `component` tag of a registration, as a small number.
//!
//! Several metrics carry the component as a label. Resolving it when the endpoint is born keeps label
//! look-ups off the request path; the number of distinct components is bounded, because the tag comes
//! from the bus and every distinct value is a metric series for ever.

use std::sync::{OnceLock, RwLock};

/// Distinct components that get a name of their own; all further ones share [`Component::OTHER`].
pub const MAX_COMPONENTS: usize = 64;

/// A component's number: an index below [`MAX_COMPONENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Component(u8);

impl Component {
    /// The empty component: no tag was given.
    pub const NONE: Self = Self(0);
    /// What every component beyond the bound counts as.
    pub const OTHER: Self = Self(1);

    /// The number of `name`, assigned at its first use.
    #[must_use]
    pub fn named(name: &str) -> Self {
        if let Some(found) = position(&read(), name) {
            return found;
        }
        let mut names = match names().write() {
            Ok(names) => names,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(found) = position(&names, name) {
            return found;
        }
        if names.len() >= MAX_COMPONENTS {
            return Self::OTHER;
        }
        names.push(name.into());
        position(&names, name).unwrap_or(Self::OTHER)
    }

    /// The index, for tables of counters.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The names in the order of their numbers.
    #[must_use]
    pub fn all() -> Vec<Box<str>> {
        read().clone()
    }
}

fn names() -> &'static RwLock<Vec<Box<str>>> {
    static NAMES: OnceLock<RwLock<Vec<Box<str>>>> = OnceLock::new();
    NAMES.get_or_init(|| RwLock::new(vec!["".into(), "other".into()]))
}

fn read() -> std::sync::RwLockReadGuard<'static, Vec<Box<str>>> {
    match names().read() {
        Ok(names) => names,
        Err(poisoned) => poisoned.into_inner(),
    }
}

fn position(names: &[Box<str>], name: &str) -> Option<Component> {
    names.iter().position(|known| **known == *name).and_then(|at| u8::try_from(at).ok()).map(Component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let first = Component::named("route-emitter");
        assert_eq!(first, Component::named("route-emitter"));
        assert_eq!(Component::named(""), Component::NONE);
        assert_eq!(&*Component::all()[first.index()], "route-emitter");
    }
}
