//! Values in JSON.
//!
//! | value | JSON |
//! |---|---|
//! | switch | `true`, `false` |
//! | whole number | `42` |
//! | number | `21.5` (always with a point or an exponent) |
//! | not a number, infinite | `null` |
//! | text | `"hello"` |
//! | bytes | `{"base64": "…"}` |
//!
//! So every value but a non-finite number comes back as the very value it was.

use std::{borrow::Cow, fmt};

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// A value of a resource or a property, as in the model, in its JSON form.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A switch.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// The value that somebody means who types `word`: `on`, `off`, `true` and `false` are switches, numbers are
    /// numbers, everything else is text.
    pub fn from_word(word: &str) -> Self {
        match word {
            "on" | "true" => return Self::Bool(true),
            "off" | "false" => return Self::Bool(false),
            _ => {}
        }
        // Only what looks like a number: `inf` and `nan` are words.
        let numeric = word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
            && word.contains(|c: char| c.is_ascii_digit());
        match (numeric, word.parse::<i64>(), word.parse::<f64>()) {
            (true, Ok(count), _) => Self::Int(count),
            (true, _, Ok(measure)) if measure.is_finite() => Self::Float(measure),
            _ => Self::Text(word.to_owned()),
        }
    }

    /// The value as a number, if it is one (a switch is 0 or 1).
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Bool(on) => Some(f64::from(u8::from(on))),
            Self::Int(count) => Some(count as f64),
            Self::Float(measure) => Some(measure),
            Self::Text(_) | Self::Bytes(_) => None,
        }
    }
}

/// For people: switches are `on` and `off`, numbers have two decimals, bytes only tell how many they are.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("on"),
            Self::Bool(false) => f.write_str("off"),
            Self::Int(count) => write!(f, "{count}"),
            Self::Float(measure) => write!(f, "{measure:.2}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(on) => serializer.serialize_bool(*on),
            Self::Int(count) => serializer.serialize_i64(*count),
            Self::Float(measure) => serializer.serialize_f64(*measure),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &BASE64.encode(bytes))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, a number, a text, or {\"base64\": \"…\"}")
    }
    fn visit_bool<E>(self, on: bool) -> Result<Value, E> {
        Ok(Value::Bool(on))
    }
    fn visit_i64<E>(self, count: i64) -> Result<Value, E> {
        Ok(Value::Int(count))
    }
    fn visit_u64<E>(self, count: u64) -> Result<Value, E> {
        Ok(i64::try_from(count).map_or(Value::Float(count as f64), Value::Int))
    }
    fn visit_f64<E>(self, measure: f64) -> Result<Value, E> {
        Ok(Value::Float(measure))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Float(f64::NAN))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let bytes = match map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? {
            Some((key, text)) if key == "base64" => BASE64.decode(text.as_bytes()).map_err(de::Error::custom)?,
            _ => return Err(de::Error::custom("a value that is an object has one field, base64")),
        };
        match map.next_key::<Cow<'_, str>>()? {
            None => Ok(Value::Bytes(bytes)),
            Some(_) => Err(de::Error::custom("a value that is an object has one field, base64")),
        }
    }
}

impl PartialSchema for Value {
    fn schema() -> RefOr<Schema> {
        let one = |kind| ObjectBuilder::new().schema_type(kind).build();
        let bytes = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Bytes, in standard base64 with padding."))
            .property("base64", one(Type::String))
            .required("base64")
            .examples([json!({"base64": "aGVsbG8="})]);
        OneOfBuilder::new()
            .description(Some("A switch, a number (null if it is not finite), a text, or bytes."))
            .item(one(Type::Boolean))
            .item(one(Type::Number))
            .item(one(Type::Null))
            .item(one(Type::String))
            .item(bytes)
            .into()
    }
}

impl ToSchema for Value {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::Float),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn a_value_comes_back_as_it_was(value in any_value()) {
            let text = serde_json::to_string(&value).unwrap();
            let back: Value = serde_json::from_str(&text).unwrap();
            match (&back, &value) {
                // The JSON reader may be off in the last digit.
                (Value::Float(a), Value::Float(b)) => prop_assert!((a - b).abs() <= b.abs() * 1e-15, "{}", text),
                _ => prop_assert_eq!(back, value),
            }
        }
    }

    #[test]
    fn the_json_form() {
        let json = |value: &Value| serde_json::to_string(value).unwrap();
        assert_eq!(json(&Value::Bool(true)), "true");
        assert_eq!(json(&Value::Int(-3)), "-3");
        assert_eq!(json(&Value::Float(20.0)), "20.0");
        assert_eq!(json(&Value::Float(f64::NAN)), "null");
        assert_eq!(json(&Value::Text("é\n".into())), r#""é\n""#);
        assert_eq!(json(&Value::Bytes(vec![0, 255])), r#"{"base64":"AP8="}"#);
        for bad in [r#"{}"#, r#"{"base64":"AP8"}"#, r#"{"base64":"AP8=","x":"y"}"#, r#"{"x":"y"}"#, "[1]"] {
            assert!(serde_json::from_str::<Value>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_that_people_type() {
        assert_eq!(Value::from_word("on"), Value::Bool(true));
        assert_eq!(Value::from_word("false"), Value::Bool(false));
        assert_eq!(Value::from_word("-7"), Value::Int(-7));
        assert_eq!(Value::from_word("+2.5"), Value::Float(2.5));
        assert_eq!(Value::from_word("1e999"), Value::Text("1e999".into()));
        for word in ["inf", "nan", "-inf", "1.2.3", "", "-", "blue", "infinity"] {
            assert_eq!(Value::from_word(word), Value::Text(word.into()));
        }
    }
}
