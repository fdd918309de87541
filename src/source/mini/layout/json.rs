//! JSON as the originals write it: keys in the order given, a space after `:` and `,`.

use std::fmt::Write as _;

/// A string, a number, a truth value.
pub fn value(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).expect("strings and numbers are always JSON")
}

/// An object, its values being JSON already.
pub fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(key, json)| format!("{}: {json}", value(key))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// An array, its items being JSON already.
pub fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// An array of strings.
pub fn strings(items: &[impl AsRef<str>]) -> String {
    list(items.iter().map(|item| value(item.as_ref())))
}

/// The same JSON with everything beyond ASCII escaped, as Python's `json` writes it unless told otherwise.
pub fn ascii(json: &str) -> String {
    // Outside strings JSON is ASCII, so that every other character is in a string and may be escaped.
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_escapes_are_read_back() {
        let json = object(&[("z", value("ä \"q\"\n😀")), ("a", list([value(1), value(true)])), ("b", strings(&["x"]))]);
        assert_eq!(json, r#"{"z": "ä \"q\"\n😀", "a": [1, true], "b": ["x"]}"#);
        assert_eq!(&ascii(&json)[..33], r#"{"z": "\u00e4 \"q\"\n\ud83d\ude00"#);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&ascii(&json)), read(&json));
    }
}
