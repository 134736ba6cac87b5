//! A request that names the instance it is for: `X-CF-App-Instance: <app guid>:<index>` (gorouter.md 7.3).

/// The field's name.
pub const APP_INSTANCE: &str = "x-cf-app-instance";

/// One instance of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppInstance<'a> {
    /// Application id.
    pub app: &'a str,
    /// Instance index, decimal digits.
    pub index: &'a str,
}

/// Reads the field's value; none if it is not a lower-case GUID, a colon and digits.
#[must_use]
pub fn app_instance(value: &[u8]) -> Option<AppInstance<'_>> {
    let (app, index) = str::from_utf8(value).ok()?.split_once(':')?;
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    (is_guid(app) && digits).then_some(AppInstance { app, index })
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

    #[test]
    fn only_a_guid_and_an_index_name_an_instance() {
        const GUID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
        let named = format!("{GUID}:12");
        assert_eq!(app_instance(named.as_bytes()), Some(AppInstance { app: GUID, index: "12" }));
        for bad in [
            "",
            "nonsense",
            GUID,
            &format!("{GUID}:"),
            &format!("{GUID}:x"),
            &format!("{GUID}:-1"),
            &format!("{GUID}:1:2"),
            &format!(":{GUID}"),
            &format!("{}:0", GUID.to_uppercase()),
            &format!("{}0:0", GUID),
            "0a1b2c3d00000-4000-8000-000000000001:0",
        ] {
            assert_eq!(app_instance(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(app_instance(b"\xff:1"), None);
    }
}
