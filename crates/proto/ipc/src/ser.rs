//! Serializer: a struct's fields in order are the attributes; a struct inside a struct is written inline; a map is a hash.

use serde::ser::{self, Serialize};

use crate::{Dialect, Encoding, Error, Format, base64};

/// Writes one list (without its terminator).
pub struct Serializer<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
    /// Name of the attribute that the next scalar is the value of.
    name: Option<&'static str>,
    owned_name: Option<String>,
}

impl<'a> Serializer<'a> {
    pub fn new(out: &'a mut Vec<u8>, format: Format) -> Self {
        Self { out, format, name: None, owned_name: None }
    }

    fn value(&mut self, value: &str) -> Result<(), Error> {
        let name = match (self.owned_name.take(), self.name) {
            (Some(name), _) => name,
            (None, Some(name)) => name.to_owned(),
            (None, None) => return Err(Error::Malformed("a value without a name".into())),
        };
        let (between, after, forbidden) = match self.format.encoding {
            Encoding::Null => (0, 0, '\0'),
            Encoding::Plain => (b'=', b'\n', '\n'),
        };
        if value.contains(forbidden) {
            return Err(Error::Malformed(format!("value of {name} cannot be written")));
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(between);
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(after);
        Ok(())
    }

    fn brace(&mut self, brace: u8) {
        match self.format.encoding {
            Encoding::Null => self.out.extend_from_slice(&[brace, 0]),
            Encoding::Plain => self.out.extend_from_slice(&[brace, 0, b'\n']),
        }
    }
}

fn dialect_name(name: &'static str, dialect: Dialect) -> &'static str {
    match (name, dialect) {
        ("sendopts", Dialect::V3_7) => "smtputf8",
        (name, Dialect::V3_7 | Dialect::V3_11) => name,
    }
}

macro_rules! unsupported {
    ($($method:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => { $(
        fn $method(self, $($arg: $type),*) -> Result<$out, Error> {
            $(let _ = $arg;)*
            Err(Error::Malformed(concat!("no attribute: ", stringify!($method)).into()))
        }
    )* };
}

type Never = ser::Impossible<(), Error>;

impl ser::Serializer for &mut Serializer<'_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Never;

    fn serialize_i32(self, v: i32) -> Result<(), Error> {
        self.value(&v.cast_unsigned().to_string())
    }
    fn serialize_i64(self, v: i64) -> Result<(), Error> {
        self.value(&v.cast_unsigned().to_string())
    }
    fn serialize_u32(self, v: u32) -> Result<(), Error> {
        self.value(&v.to_string())
    }
    fn serialize_u64(self, v: u64) -> Result<(), Error> {
        self.value(&v.to_string())
    }
    fn serialize_bool(self, v: bool) -> Result<(), Error> {
        self.value(if v { "1" } else { "0" })
    }
    fn serialize_str(self, v: &str) -> Result<(), Error> {
        self.value(v)
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), Error> {
        self.value(&base64::encode(v))
    }
    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        self.brace(b'{');
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.value(variant)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }
    unsupported! {
        serialize_i8(v: i8) -> ();
        serialize_i16(v: i16) -> ();
        serialize_u8(v: u8) -> ();
        serialize_u16(v: u16) -> ();
        serialize_f32(v: f32) -> ();
        serialize_f64(v: f64) -> ();
        serialize_char(v: char) -> ();
        serialize_tuple(v: usize) -> Never;
        serialize_tuple_struct(n: &'static str, l: usize) -> Never;
        serialize_tuple_variant(n: &'static str, i: u32, v: &'static str, l: usize) -> Never;
        serialize_struct_variant(n: &'static str, i: u32, v: &'static str, l: usize) -> Never;
    }
}

impl ser::SerializeStruct for &mut Serializer<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.name = Some(dialect_name(key, self.format.dialect));
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

impl ser::SerializeSeq for &mut Serializer<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

struct KeyText(Option<String>);

impl ser::SerializeMap for &mut Serializer<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let mut text = Vec::new();
        let mut inner = Serializer::new(&mut text, Format::default());
        inner.name = Some("k");
        key.serialize(&mut inner)?;
        let key = text.get(2..text.len().saturating_sub(1)).unwrap_or_default();
        let key = KeyText(Some(String::from_utf8_lossy(key).into_owned()));
        self.owned_name = key.0;
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Error> {
        self.brace(b'}');
        Ok(())
    }
}
