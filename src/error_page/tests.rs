use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-cf-routererror", HeaderValue::from_static("unknown_route"));
    headers.append("x-two", HeaderValue::from_static("1"));
    headers.append("x-two", HeaderValue::from_static("2"));
    headers
}

fn rendered(text: &str, message: &str) -> Result<String, PageError> {
    let page = Page { status: 404, status_text: "Not Found", message, headers: &headers() };
    ErrorPage::parse("page.html", text)?.render(&page)
}

#[test]
fn a_page_says_what_its_template_asks_for() {
    for (text, expected) in [
        ("", ""),
        ("<h1>{{.Status}} {{.StatusText}}</h1>{{.Message}}", "<h1>404 Not Found</h1>it&#39;s"),
        ("{{.Header.Get \"X-Cf-RouterError\"}}", "unknown_route"),
        ("{{.Header.Get \"x-two\"}}{{.Header.Get \"X-Absent\"}}", "1"),
        ("{{ if eq .Status 404 }}none{{ else if eq .Status 503 }}later{{ else }}other{{ end }}", "none"),
        ("{{if eq (.Header.Get \"X-Cf-RouterError\") \"unknown_route\" \"x\"}}y{{else}}n{{end}}", "y"),
        ("{{if and (ne .Status 404) .Message}}y{{else}}n{{end}}{{if or (ne .Status 404) .Message}}y{{end}}", "ny"),
        ("{{if not (.Header.Get \"X-Absent\")}}absent{{end}}", "absent"),
        ("a  {{- /* a comment */ -}}  b", "ab"),
        ("a\n{{- /* a comment */}}\nb", "a\nb"),
        ("a\n{{/* a comment */ -}}\nb", "a\nb"),
        ("a\n{{/* a comment */}}\nb", "a\n\nb"),
        ("a  {{- .Status -}}  b", "a404b"),
        ("a  {{- .Status}}  b", "a404  b"),
        ("{{with .Header.Get \"X-Two\"}}[{{.}}]{{end}}", "[1]"),
        ("{{$e := .Header.Get \"X-Cf-RouterError\"}}{{$e}}", "unknown_route"),
        ("{{define \"t\"}}<b>{{.}}</b>{{end}}{{template \"t\" .Status}}", "<b>404</b>"),
        ("{{printf \"%d-%s\" .Status .StatusText}} {{len .Message}}", "404-Not Found 4"),
        ("{{\"{{\"}}", "{{"),
    ] {
        assert_eq!(rendered(text, "it's").unwrap(), expected, "{text}");
    }
}

#[test]
fn what_a_page_writes_is_escaped_for_its_place() {
    const EVIL: &str = "<b title=\"x\">'&+</b>";
    for (text, message, expected) in [
        ("<p>{{.Message}}</p>", EVIL, "<p>&lt;b title=&#34;x&#34;&gt;&#39;&amp;&#43;&lt;/b&gt;</p>"),
        ("<p title=\"{{.Message}}\">", EVIL, "<p title=\"&lt;b title=&#34;x&#34;&gt;&#39;&amp;&#43;&lt;/b&gt;\">"),
        ("<p title='{{.Message}}'>", "'", "<p title='&#39;'>"),
        ("<p title={{.Message}}>", "a b", "<p title=a&#32;b>"),
        ("<a href=\"{{.Message}}\">", "javascript:alert(1)", "<a href=\"#ZgotmplZ\">"),
        ("<a href=\"/?q={{.Message}}\">", "a&b c", "<a href=\"/?q=a%26b%20c\">"),
        ("<script>var m = {{.Message}};</script>", "</script>", "<script>var m = \"\\u003c/script\\u003e\";</script>"),
        ("<script>var s = {{.Status}};</script>", "", "<script>var s =  404 ;</script>"),
        ("<style>p { color: {{.Message}} }</style>", "expression(1)", "<style>p { color: ZgotmplZ }</style>"),
        ("<p>a<!-- {{.Message}} -->b</p>", EVIL, "<p>ab</p>"),
        ("<title>{{.Message}}</title>", "</title>", "<title>&lt;/title&gt;</title>"),
    ] {
        assert_eq!(rendered(text, message).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_template_that_cannot_be_rendered_is_refused_with_its_line() {
    for (text, part) in [
        ("a\n{{.Message", "page.html:2"),
        ("a\n{{if .Status}}", "page.html:2"),
        ("{{end}}", "page.html:1"),
        ("\n\n{{nonsense .Status}}", "nonsense"),
        ("{{.Missing}}", "page.html:1: a page is given no .Missing, only .Status"),
        ("{{with .Header}}{{.Del \"x\"}}{{end}}", "function"),
        ("{{.Header.Get}}", "Get"),
        ("{{template \"absent\"}}", "absent"),
        ("<a href=\"{{if .Status}}/a?b={{else}}/a/{{end}}{{.Message}}\">", "ambig"),
        ("<script>", "ends in a non-text context"),
        ("{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}", ""),
    ] {
        let error = rendered(text, "").map(|page| format!("{text} gives {page}")).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_template_makes_it_panic(text in r#"(\{\{|\}\}|\.Message|\.Header\.Get|if|else|end|range|with|\$x|:=|"|<a href=|<script>|'|>|[a-z ().|0-9\n-]){0,30}"#) {
        let _ = rendered(&text, "<");
    }

    #[test]
    fn no_message_leaves_its_place(message in r#"[<>"'&`=a-z/ é\x00-\x1f]{0,40}"#) {
        let text = rendered("<p title=\"{{.Message}}\">{{.Message}}</p>", &message).unwrap();
        let inner = text.strip_prefix("<p title=\"").and_then(|rest| rest.strip_suffix("</p>")).unwrap();
        let (attribute, content) = inner.split_once("\">").unwrap();
        prop_assert!(!attribute.contains(['"', '<', '>', '\'']) && !content.contains(['"', '<', '>', '\'']), "{}", text);
    }
}
