//! A request that names the instance it is for (gorouter.md 7.3): `X-CF-App-Instance: <app guid>:<index>`, or
//! `X-CF-Process-Instance: <process guid>` with or without `:<index>`.

/// The field that names an instance of an app. It is not passed on.
pub const APP_INSTANCE: &str = "x-cf-app-instance";
/// The field that names a process of an app, or an instance of it. It is passed on.
pub const PROCESS_INSTANCE: &str = "x-cf-process-instance";

/// One instance of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppInstance<'a> {
    /// Application id.
    pub app: &'a str,
    /// Instance index, decimal digits.
    pub index: &'a str,
}

/// One process of an app, or one instance of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessInstance<'a> {
    /// Process id, the tag `process_id` of its endpoints.
    pub process: &'a str,
    /// Instance index, decimal digits; none for any instance.
    pub index: Option<&'a str>,
}

/// Reads the value of [`APP_INSTANCE`]; none if it is not a lower-case GUID, a colon and digits.
#[must_use]
pub fn app_instance(value: &[u8]) -> Option<AppInstance<'_>> {
    let (app, index) = str::from_utf8(value).ok()?.split_once(':')?;
    (is_guid(app) && is_index(index)).then_some(AppInstance { app, index })
}

/// Reads the value of [`PROCESS_INSTANCE`]; none if it is not a lower-case GUID, alone or with a colon and digits.
#[must_use]
pub fn process_instance(value: &[u8]) -> Option<ProcessInstance<'_>> {
    let text = str::from_utf8(value).ok()?;
    let (process, index) = match text.split_once(':') {
        Some((process, index)) => (process, Some(index)),
        None => (text, None),
    };
    (is_guid(process) && index.is_none_or(is_index)).then_some(ProcessInstance { process, index })
}

fn is_index(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_guid(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => hex(byte),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

    #[test]
    fn only_a_guid_and_an_index_name_an_instance() {
        let named = format!("{GUID}:12");
        assert_eq!(app_instance(named.as_bytes()), Some(AppInstance { app: GUID, index: "12" }));
        assert_eq!(process_instance(named.as_bytes()), Some(ProcessInstance { process: GUID, index: Some("12") }));
        for bad in [
            "",
            "nonsense",
            &format!("{GUID}:"),
            &format!("{GUID}:x"),
            &format!("{GUID}:-1"),
            &format!("{GUID}:1:2"),
            &format!("{GUID} "),
            &format!(":{GUID}"),
            &format!("{}:0", GUID.to_uppercase()),
            &format!("{}0:0", GUID),
            "0a1b2c3d00000-4000-8000-000000000001:0",
        ] {
            assert_eq!(app_instance(bad.as_bytes()), None, "{bad:?}");
            assert_eq!(process_instance(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(app_instance(b"\xff:1"), None);
        assert_eq!(process_instance(b"\xff:1"), None);
    }

    #[test]
    fn a_process_needs_no_index_and_an_app_does() {
        assert_eq!(app_instance(GUID.as_bytes()), None);
        assert_eq!(process_instance(GUID.as_bytes()), Some(ProcessInstance { process: GUID, index: None }));
    }
}
