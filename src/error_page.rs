//! The operator's own page for errors: a template in Go's `html/template` language (`html_error_template_file`,
//! gorouter.md section 7.3).
//!
//! A template is given `.Status`, `.StatusText`, `.Message` and `.Header.Get "Name"`, the last for fields of the
//! response. What it writes is escaped for the place where it stands, as Go does: text, attribute, URL, script or style.
//! A template that cannot be rendered is found when it is read, as far as a trial can tell; [`ErrorPage::render`] may
//! still fail in a branch that no trial takes, and the plain text is sent instead.

mod source;

use std::{collections::BTreeMap, fmt, sync::Arc};

use gotmpl::{MissingKey, TemplateError, Value, html::Template};
use http::HeaderMap;

pub use self::source::What;

/// What a page tells.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// `.Status`.
    pub status: u16,
    /// `.StatusText`, such as `Not Found`.
    pub status_text: &'a str,
    /// `.Message`, without the status.
    pub message: &'a str,
    /// `.Header`: the response's fields.
    pub headers: &'a HeaderMap,
}

/// A template that renders, and cannot be changed any more.
pub struct ErrorPage(Template);

/// Why a template is no page. Go's words, with the template's line where it is known.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// An action or a block without its end, an end without them, or a name that pages are not given.
    #[error("template: {name}:{line}: {what}")]
    Source {
        /// The template.
        name: String,
        /// Where, from 1.
        line: usize,
        /// What.
        what: What,
    },
    /// It does not parse, or does not render.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Most turns of all loops of a page. Pages have nothing to loop over but what they write themselves.
const MOST_TURNS: u64 = 10_000;

impl ErrorPage {
    /// Reads a template; `name` stands in its errors.
    ///
    /// # Errors
    /// The template does not parse, asks for what a page is not given, or writes where nothing can be escaped.
    pub fn parse(name: &str, text: &str) -> Result<Self, PageError> {
        let template = Template::new(name).missing_key(MissingKey::Error).max_range_iters(MOST_TURNS);
        let text = source::prepared(text).map_err(|source::Fault { line, what }| PageError::Source {
            name: name.to_owned(),
            line,
            what,
        })?;
        let page = Self(template.parse(&text)?);
        let headers = HeaderMap::new();
        for (status, status_text) in [(404, "Not Found"), (503, "Service Unavailable")] {
            page.render(&Page { status, status_text, message: "trial", headers: &headers })?;
        }
        Ok(page)
    }

    /// The page as text.
    ///
    /// # Errors
    /// The template asks for what a page is not given, in a branch that was not tried before.
    pub fn render(&self, page: &Page<'_>) -> Result<String, PageError> {
        let fields = [
            ("Status", Value::Int(page.status.into())),
            ("StatusText", Value::String(page.status_text.into())),
            ("Message", Value::String(page.message.into())),
            ("Header", header(page.headers)),
        ];
        let given = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Ok(self.0.execute_to_string(&Value::Map(Arc::new(given)))?)
    }
}

impl fmt::Debug for ErrorPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorPage").field(&self.0.name()).finish()
    }
}

/// `.Header`, whose one method gives the first field of a name, or nothing.
fn header(headers: &HeaderMap) -> Value {
    let mut fields: BTreeMap<String, Arc<str>> = BTreeMap::new();
    for (name, value) in headers {
        let text = || String::from_utf8_lossy(value.as_bytes()).into();
        fields.entry(name.as_str().to_owned()).or_insert_with(text);
    }
    let get = move |arguments: &[Value]| match arguments {
        [Value::String(name)] => Ok(Value::String(fields.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default())),
        _ => Err(TemplateError::Exec("Get takes the name of a header".to_owned())),
    };
    Value::Map(Arc::new(BTreeMap::from([("Get".into(), Value::Function(Arc::new(get)))])))
}

#[cfg(test)]
mod tests;
