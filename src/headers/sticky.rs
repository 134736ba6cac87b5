//! Sessions that stick to an instance (gorouter.md section 5, sticky sessions).
//!
//! Beside an app's session cookie the router sets `__VCAP_ID__`, which names the instance, with the attributes of the
//! session cookie, so that both live and die together. `__VCAP_ID_META__` remembers those attributes for the day when the
//! instance is gone and the name has to be set anew without the app's help. What a client says in the latter is not
//! believed, only read: it can change nothing but the attributes of that client's own cookie.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, SET_COOKIE, WWW_AUTHENTICATE},
};

use super::cookies::{Attributes, SameSite, name_set, sent};

/// Names the instance.
const INSTANCE: &str = "__VCAP_ID__";
/// Remembers the attributes with which that was set.
const META: &str = "__VCAP_ID_META__";
/// A session cookie may be bound to its host by this in front of its name.
const HOST_PREFIX: &str = "__Host-";
/// How long a negotiation sticks, in seconds.
const NEGOTIATION: u64 = 60;
/// Cookies of one name that a client is taken to have, one in each jar that its browser keeps apart.
const MANY_JARS: usize = 4;

/// What the configuration says about sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Names of session cookies (`sticky_session_cookie_names`).
    pub names: Vec<String>,
    /// Whether a negotiation of credentials sticks (`sticky_sessions_for_auth_negotiate`).
    pub negotiate: bool,
    /// Whether all that the router sets is `Secure` (`secure_cookies`).
    pub secure: bool,
}

/// The instance that a request sticks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Its instance id, or `host:port`; never empty.
    pub id: Box<str>,
    /// Whether no other instance will do.
    pub must: bool,
}

/// Who answers, and where.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// The request's fields.
    pub request: &'a HeaderMap,
    /// The instance that the request stuck to.
    pub sticky: Option<&'a Sticky>,
    /// The instance that answers.
    pub instance: &'a str,
    /// The path of the route, empty for the root.
    pub path: &'a str,
}

impl Rules {
    /// The instance that a request with these fields sticks to.
    #[must_use]
    pub fn sticky(&self, request: &HeaderMap) -> Option<Sticky> {
        let fields = || request.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        if !fields().any(|field| memchr::memmem::find(field, INSTANCE.as_bytes()).is_some()) {
            return None;
        }
        let (mut id, mut has_session) = (None, false);
        for (name, value) in fields().flat_map(sent) {
            if name == INSTANCE {
                id = id.or(Some(value));
            } else {
                has_session |= self.is_session(name);
            }
        }
        let id = id.filter(|id| !id.is_empty())?;
        let must = self.negotiate && is_negotiation(request.get(AUTHORIZATION));
        (must || has_session).then(|| Sticky { id: id.into(), must })
    }

    /// Whether an answer can change anything about a session; if not, [`Rules::cookies`] need not be asked.
    #[must_use]
    pub fn concerns(&self, sets_cookie: bool, sticky: Option<&Sticky>) -> bool {
        sets_cookie || sticky.is_some() || self.negotiate
    }

    /// The `Set-Cookie` fields that an answer with the fields `response` gets besides its own.
    #[must_use]
    pub fn cookies(&self, response: &HeaderMap, answering: Answering<'_>) -> Vec<HeaderValue> {
        if answering.instance.is_empty() {
            return Vec::new();
        }
        let Some(sessions) = self.occasions(response, answering) else { return Vec::new() };
        if sessions.is_empty() || is_from_route_service(answering.request) {
            return Vec::new();
        }
        let path = if answering.path.is_empty() { "/" } else { answering.path };
        let mut fields: Vec<String> = Vec::new();
        for Occasion { attributes, remembered } in sessions {
            let forced = Attributes { secure: attributes.secure || self.secure, ..attributes };
            let meta = match remembered {
                Remembered::Keep(meta) => Some(forced.written(META, &meta, path)),
                Remembered::Forget => {
                    Some(Attributes { max_age: Some(0), expires: None, ..forced.clone() }.written(META, "", path))
                }
                Remembered::Nothing => None,
            };
            for field in [Some(forced.written(INSTANCE, answering.instance, path)), meta].into_iter().flatten() {
                if !fields.contains(&field) {
                    fields.push(field);
                }
            }
        }
        fields.into_iter().filter_map(|field| HeaderValue::from_str(&field).ok()).collect()
    }

    /// For what the instance has to be named; none where the app does that itself.
    fn occasions(&self, response: &HeaderMap, answering: Answering<'_>) -> Option<Vec<Occasion>> {
        let metas = || {
            let fields = answering.request.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
            fields.flat_map(sent).filter(|(name, _)| *name == META).map(|(_, value)| value)
        };
        let mut sessions = Vec::new();
        for field in response.get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes) {
            match name_set(field) {
                Some(INSTANCE) => return None,
                Some(name) if self.is_session(name) => {
                    sessions.push(Occasion::of_session(Attributes::of(field), || metas().next().is_some()));
                }
                Some(_) | None => {}
            }
        }
        let elsewhere = || answering.sticky.is_none_or(|sticky| *sticky.id != *answering.instance);
        if !sessions.is_empty() {
            return Some(sessions);
        }
        if self.negotiate
            && elsewhere()
            && response.get_all(WWW_AUTHENTICATE).iter().any(|one| is_negotiation(Some(one)))
        {
            let attributes =
                Attributes { max_age: Some(NEGOTIATION), same_site: Some(SameSite::Strict), ..Attributes::default() };
            return Some(vec![Occasion { attributes, remembered: Remembered::Nothing }]);
        }
        if answering.sticky.is_none() || !elsewhere() {
            return None;
        }
        let jars = answering.request.get_all(COOKIE).iter().flat_map(|field| sent(field.as_bytes()));
        let jars = jars.filter(|(name, _)| *name == INSTANCE).count();
        sessions.extend(metas().take(MANY_JARS).map(Occasion::of_meta));
        if sessions.len() < jars.min(MANY_JARS) {
            sessions.push(Occasion { attributes: Attributes::default(), remembered: Remembered::Nothing });
        }
        Some(sessions)
    }

    fn is_session(&self, name: &str) -> bool {
        let bare = name.strip_prefix(HOST_PREFIX);
        self.names.iter().any(|known| name == known || bare == Some(known))
    }
}

/// One reason to name the instance, with the attributes to do it with.
struct Occasion {
    attributes: Attributes,
    remembered: Remembered,
}

/// What becomes of the remembered attributes.
enum Remembered {
    Keep(String),
    Forget,
    Nothing,
}

impl Occasion {
    fn of_session(attributes: Attributes, has_meta: impl FnOnce() -> bool) -> Self {
        let text = remember(&attributes);
        let remembered = if !text.is_empty() {
            Remembered::Keep(text)
        } else if has_meta() {
            Remembered::Forget
        } else {
            Remembered::Nothing
        };
        Self { attributes, remembered }
    }

    fn of_meta(meta: &str) -> Self {
        let attributes = recall(meta);
        let text = remember(&attributes);
        let remembered = if text.is_empty() { Remembered::Nothing } else { Remembered::Keep(text) };
        Self { attributes, remembered }
    }
}

/// Whether an answer with these fields sets a cookie. For answers whose parser does not note it on its way.
#[must_use]
pub fn sets_cookie(response: &HeaderMap) -> bool {
    response.contains_key(SET_COOKIE)
}

/// The attributes as the value of [`META`]: `secure&partitioned&expires=EPOCH&maxage=N&samesite=strict`.
fn remember(attributes: &Attributes) -> String {
    let mut parts = Vec::new();
    if attributes.secure {
        parts.push("secure".to_owned());
    }
    if attributes.partitioned {
        parts.push("partitioned".to_owned());
    }
    parts.extend(attributes.expires.map(|seconds| format!("expires={seconds}")));
    parts.extend(attributes.max_age.map(|seconds| format!("maxage={seconds}")));
    parts.extend(attributes.same_site.map(|same_site| format!("samesite={}", same_site.as_str().to_ascii_lowercase())));
    parts.join("&")
}

/// Reads that value; what is unknown or malformed is skipped.
fn recall(meta: &str) -> Attributes {
    let mut attributes = Attributes::default();
    for part in meta.split('&') {
        match part.split_once('=').unwrap_or((part, "")) {
            ("secure", "") => attributes.secure = true,
            ("partitioned", "") => attributes.partitioned = true,
            ("expires", seconds) => attributes.expires = seconds.parse().ok(),
            ("maxage", seconds) => attributes.max_age = seconds.parse().ok(),
            ("samesite", word) => attributes.same_site = SameSite::named(word),
            _ => {}
        }
    }
    attributes
}

fn is_negotiation(field: Option<&HeaderValue>) -> bool {
    const SCHEME: &[u8] = b"negotiate";
    let start = field.and_then(|field| field.as_bytes().get(..SCHEME.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

/// Whether the request comes back from a route service: then the client has its cookie from the first passage.
fn is_from_route_service(request: &HeaderMap) -> bool {
    const SIGNATURE: HeaderName = HeaderName::from_static("x-cf-proxy-signature");
    const FORWARDED: HeaderName = HeaderName::from_static("x-cf-forwarded-url");
    let said = |name| request.get(name).is_some_and(|value: &HeaderValue| !value.is_empty());
    said(SIGNATURE) && said(FORWARDED)
}

#[cfg(test)]
mod tests;
