use proptest::prelude::*;

use super::*;

const HERE: &str = "here";

fn rules() -> Rules {
    Rules { names: vec!["JSESSIONID".to_owned(), "sid".to_owned()], negotiate: false, secure: false }
}

fn negotiating() -> Rules {
    Rules { negotiate: true, ..rules() }
}

fn fields(lines: &[&str]) -> HeaderMap {
    let pair = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap();
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(pair).collect()
}

#[test]
fn a_request_sticks_by_a_session_and_the_name_of_an_instance() {
    let prefers = |id: &str| Some((id.to_owned(), false));
    for (request, wanted) in [
        (&[][..], None),
        (&["Cookie: JSESSIONID=a"], None),
        (&["Cookie: __VCAP_ID__=x"], None),
        (&["Cookie: other=a; __VCAP_ID__=x"], None),
        (&["Cookie: jsessionid=a; __VCAP_ID__=x"], None),
        (&["Cookie: JSESSIONID=a; __vcap_id__=x"], None),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__="], None),
        (&["Cookie: JSESSIONID=__VCAP_ID__=x"], None),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__=x"], prefers("x")),
        (&["Cookie: __VCAP_ID__=x;sid="], prefers("x")),
        (&["Cookie: __Host-JSESSIONID=a; __VCAP_ID__=x"], prefers("x")),
        (&["Cookie: JSESSIONID=a", "Cookie: __VCAP_ID__=x"], prefers("x")),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__=x; __VCAP_ID__=y"], prefers("x")),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__=10.0.0.1:80"], prefers("10.0.0.1:80")),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__=x", "Authorization: Negotiate b"], prefers("x")),
    ] {
        let sticky = rules().sticky(&fields(request)).map(|it| (it.id.into_string(), it.must));
        assert_eq!(sticky, wanted, "{request:?}");
    }
}

#[test]
fn a_negotiation_must_go_on_where_it_began() {
    let must = |id: &str| Some((id.to_owned(), true));
    for (request, wanted) in [
        (&["Authorization: Negotiate b"][..], None),
        (&["Authorization: Negotiate b", "Cookie: __VCAP_ID__=x"], must("x")),
        (&["Authorization: nEGOTIATE", "Cookie: __VCAP_ID__=x"], must("x")),
        (&["Authorization: Basic b", "Cookie: __VCAP_ID__=x"], None),
        (&["Authorization: Nego", "Cookie: __VCAP_ID__=x"], None),
        (&["Authorization: Negotiate b", "Cookie: JSESSIONID=a; __VCAP_ID__=x"], must("x")),
        (&["Authorization: Basic b", "Cookie: JSESSIONID=a; __VCAP_ID__=x"], Some(("x".to_owned(), false))),
    ] {
        let sticky = negotiating().sticky(&fields(request)).map(|it| (it.id.into_string(), it.must));
        assert_eq!(sticky, wanted, "{request:?}");
    }
}

/// What is set beside an answer of these fields, from the root of a route, by [`HERE`].
fn set(rules: &Rules, request: &[&str], response: &[&str]) -> Vec<String> {
    let request = fields(request);
    let sticky = rules.sticky(&request);
    let answering = Answering { request: &request, sticky: sticky.as_ref(), instance: HERE, path: "" };
    let response = fields(response);
    if !rules.concerns(sets_cookie(&response), sticky.as_ref()) {
        return Vec::new();
    }
    rules.cookies(&response, answering).iter().map(|field| field.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_cookie_is_accompanied_with_its_attributes() {
    for (cookie, wanted) in [
        ("other=a", &[][..]),
        ("JSESSIONID", &[]),
        ("JSESSIONID=a", &["__VCAP_ID__=here; Path=/; HttpOnly"]),
        ("JSESSIONID=a; Path=/x; HttpOnly", &["__VCAP_ID__=here; Path=/; HttpOnly"]),
        (
            "JSESSIONID=a; Secure; SameSite=None; Partitioned",
            &[
                "__VCAP_ID__=here; Path=/; HttpOnly; Secure; SameSite=None; Partitioned",
                "__VCAP_ID_META__=secure&partitioned&samesite=none; Path=/; HttpOnly; Secure; SameSite=None; Partitioned",
            ],
        ),
        (
            "JSESSIONID=a; Max-Age=50",
            &[
                "__VCAP_ID__=here; Path=/; Max-Age=50; HttpOnly",
                "__VCAP_ID_META__=maxage=50; Path=/; Max-Age=50; HttpOnly",
            ],
        ),
        (
            "JSESSIONID=a; Max-Age=0",
            &[
                "__VCAP_ID__=here; Path=/; Max-Age=0; HttpOnly",
                "__VCAP_ID_META__=maxage=0; Path=/; Max-Age=0; HttpOnly",
            ],
        ),
        (
            "JSESSIONID=a; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
            &[
                "__VCAP_ID__=here; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly",
                "__VCAP_ID_META__=expires=2139722880; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly",
            ],
        ),
        (
            "__Host-sid=a; Secure; Path=/",
            &["__VCAP_ID__=here; Path=/; HttpOnly; Secure", "__VCAP_ID_META__=secure; Path=/; HttpOnly; Secure"],
        ),
    ] {
        let field = format!("Set-Cookie: {cookie}");
        assert_eq!(set(&rules(), &[], &[&field]), wanted, "{cookie}");
        // Also where the client has it already.
        let again = set(&rules(), &["Cookie: JSESSIONID=a; __VCAP_ID__=here"], &[&field]);
        assert_eq!(again, wanted, "{cookie}");
    }
    let secure = Rules { secure: true, ..rules() };
    assert_eq!(set(&secure, &[], &["Set-Cookie: sid=a"]), ["__VCAP_ID__=here; Path=/; HttpOnly; Secure"]);
}

#[test]
fn each_session_cookie_is_accompanied_by_itself() {
    let answer = ["Set-Cookie: sid=a", "Set-Cookie: other=b; Secure", "Set-Cookie: JSESSIONID=c; Secure; Partitioned"];
    let wanted = [
        "__VCAP_ID__=here; Path=/; HttpOnly",
        "__VCAP_ID__=here; Path=/; HttpOnly; Secure; Partitioned",
        "__VCAP_ID_META__=secure&partitioned; Path=/; HttpOnly; Secure; Partitioned",
    ];
    assert_eq!(set(&rules(), &[], &answer), wanted);
    let twice = ["Set-Cookie: sid=a", "Set-Cookie: JSESSIONID=c"];
    assert_eq!(set(&rules(), &[], &twice), wanted[..1], "the same is not said twice");
}

#[test]
fn an_instance_that_took_over_is_named_with_what_is_remembered() {
    const PLAIN: &str = "__VCAP_ID__=here; Path=/; HttpOnly";
    for (cookies, wanted) in [
        ("JSESSIONID=a", &[][..]),
        ("JSESSIONID=a; __VCAP_ID__=here", &[]),
        ("__VCAP_ID__=gone", &[]),
        ("JSESSIONID=a; __VCAP_ID__=gone", &[PLAIN]),
        ("JSESSIONID=a; __VCAP_ID__=10.0.0.1:80", &[PLAIN]),
        ("JSESSIONID=a; __VCAP_ID__=gone; __VCAP_ID_META__=nonsense&secure=x&maxage=-1", &[PLAIN]),
        (
            "JSESSIONID=a; __VCAP_ID__=gone; __VCAP_ID_META__=secure&expires=2139722880&maxage=50&samesite=strict",
            &[
                "__VCAP_ID__=here; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT; Max-Age=50; HttpOnly; Secure; SameSite=Strict",
                "__VCAP_ID_META__=secure&expires=2139722880&maxage=50&samesite=strict; Path=/; \
                 Expires=Wed, 21 Oct 2037 07:28:00 GMT; Max-Age=50; HttpOnly; Secure; SameSite=Strict",
            ],
        ),
        (
            "sid=a; __VCAP_ID__=gone; __VCAP_ID__=gone; __VCAP_ID_META__=secure&partitioned",
            &[
                "__VCAP_ID__=here; Path=/; HttpOnly; Secure; Partitioned",
                "__VCAP_ID_META__=secure&partitioned; Path=/; HttpOnly; Secure; Partitioned",
                PLAIN,
            ],
        ),
    ] {
        let field = format!("Cookie: {cookies}");
        assert_eq!(set(&rules(), &[&field], &["Content-Type: text/plain"]), wanted, "{cookies}");
    }
}

#[test]
fn what_was_remembered_is_forgotten_with_the_next_plain_session() {
    let request = ["Cookie: JSESSIONID=a; __VCAP_ID__=here; __VCAP_ID_META__=secure"];
    let wanted = ["__VCAP_ID__=here; Path=/; HttpOnly", "__VCAP_ID_META__=; Path=/; Max-Age=0; HttpOnly"];
    assert_eq!(set(&rules(), &request, &["Set-Cookie: JSESSIONID=b"]), wanted);
}

#[test]
fn a_negotiation_sticks_for_a_minute() {
    const MINUTE: &str = "__VCAP_ID__=here; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
    for (request, answer, wanted) in [
        (&[][..], &["WWW-Authenticate: Negotiate"][..], &[MINUTE][..]),
        (&[], &["WWW-Authenticate: Basic", "WWW-Authenticate: negotiate abc"], &[MINUTE]),
        (&[], &["WWW-Authenticate: Basic"], &[]),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__=gone"], &["WWW-Authenticate: Negotiate"], &[MINUTE]),
        (&["Cookie: JSESSIONID=a; __VCAP_ID__=here"], &["WWW-Authenticate: Negotiate"], &[]),
        (&["Cookie: __VCAP_ID__=here", "Authorization: Negotiate a"], &["WWW-Authenticate: Negotiate"], &[]),
        (&[], &["WWW-Authenticate: Negotiate", "Set-Cookie: sid=a"], &["__VCAP_ID__=here; Path=/; HttpOnly"]),
    ] {
        assert_eq!(set(&negotiating(), request, answer), wanted, "{request:?} {answer:?}");
    }
    assert!(set(&rules(), &[], &["WWW-Authenticate: Negotiate"]).is_empty(), "it has to be asked for");
    let secure = Rules { secure: true, ..negotiating() };
    let wanted = "__VCAP_ID__=here; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Strict";
    assert_eq!(set(&secure, &[], &["WWW-Authenticate: Negotiate"]), [wanted]);
}

#[test]
fn nothing_is_set_where_somebody_else_does_it_or_nothing_is_known() {
    const SET: &str = "Set-Cookie: JSESSIONID=a";
    let signed = ["X-CF-Proxy-Signature: s", "X-CF-Forwarded-Url: https://a"];
    assert!(set(&rules(), &[], &["Set-Cookie: __VCAP_ID__=own"]).is_empty());
    assert!(set(&rules(), &[], &[SET, "Set-Cookie: __VCAP_ID__=own"]).is_empty());
    assert!(set(&rules(), &signed, &[SET]).is_empty());
    assert_eq!(set(&rules(), &signed[..1], &[SET]).len(), 1);
    assert_eq!(set(&rules(), &signed[1..], &[SET]).len(), 1);
    let request = HeaderMap::new();
    let nobody = Answering { request: &request, sticky: None, instance: "", path: "" };
    assert!(rules().cookies(&fields(&[SET]), nobody).is_empty());
}

#[test]
fn the_path_is_that_of_the_route() {
    let request = HeaderMap::new();
    let answering = Answering { request: &request, sticky: None, instance: HERE, path: "/ctx" };
    let set = rules().cookies(&fields(&["Set-Cookie: JSESSIONID=a; Path=/x"]), answering);
    assert_eq!(set, ["__VCAP_ID__=here; Path=/ctx; HttpOnly"]);
}

#[test]
fn a_client_with_many_jars_is_told_a_few_times() {
    let cookies: String = (0..50).map(|n| format!("__VCAP_ID__=x; __VCAP_ID_META__=maxage={n}; ")).collect();
    let request = format!("Cookie: sid=a; {cookies}");
    assert_eq!(set(&rules(), &[&request], &[]).len(), 2 * MANY_JARS);
}

proptest! {
    #[test]
    fn what_is_remembered_is_recalled(
        expires in prop::option::of(any::<i64>()), max_age in prop::option::of(any::<u64>()), secure: bool,
        partitioned: bool, site in 0_usize..4
    ) {
        let same_site = [None, Some(SameSite::Lax), Some(SameSite::Strict), Some(SameSite::None)][site];
        let attributes = Attributes { expires, max_age, secure, same_site, partitioned };
        prop_assert_eq!(recall(&remember(&attributes)), attributes);
    }

    #[test]
    fn no_client_can_write_into_an_answer(cookies in "[ -~]{0,60}", id in "[ -~]{1,20}") {
        let request = [format!("Cookie: JSESSIONID=a; __VCAP_ID__=gone; __VCAP_ID_META__={cookies}")];
        let lines: Vec<&str> = request.iter().map(String::as_str).collect();
        for field in set(&rules(), &lines, &[]) {
            let value = Attributes::of(field.as_bytes());
            let wanted = [value.written(INSTANCE, HERE, "/"), value.written(META, &remember(&value), "/")];
            prop_assert!(wanted.contains(&field), "{}", field);
        }
        let request = HeaderMap::new();
        let answering = Answering { request: &request, sticky: None, instance: &id, path: "" };
        prop_assert_eq!(rules().cookies(&fields(&["Set-Cookie: sid=a"]), answering).len(), 1);
    }
}
