//! Visits a whole parse tree through its `Serialize`: complete by construction, whatever nodes there are.
//!
//! The generated tree has 270 node types with up to 20 fields each. Walking it by hand forgets some; here every field of every
//! node passes [`Visitor::field`], and what a visitor does not know it can see and refuse.

use std::fmt::Error;

use serde::Serialize;
use serde::ser::{
    Impossible, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

/// What is called on the way.
pub(super) trait Visitor {
    /// A string field.
    fn string(&mut self, _text: &str) {}
    /// A number or flag field.
    fn number(&mut self, _value: i64) {}
    /// A node begins; its struct name.
    fn enter(&mut self, _node: &'static str) {}
    /// A field of a node. To go into it, serialize it into [`Visit`] of this visitor.
    fn field<T: Serialize + ?Sized>(&mut self, node: &'static str, field: &'static str, value: &T);
    /// A node ends.
    fn leave(&mut self, _node: &'static str) {}
}

/// The way through: a `Serializer` that writes nothing.
pub(super) struct Visit<'v, V>(pub(super) &'v mut V);

/// A node under way.
pub(super) struct Inside<'v, V> {
    visitor: &'v mut V,
    node: &'static str,
}

type Done = Result<(), Error>;

impl<'v, V: Visitor> Serializer for Visit<'v, V> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Inside<'v, V>;
    type SerializeTuple = Inside<'v, V>;
    type SerializeTupleStruct = Inside<'v, V>;
    type SerializeTupleVariant = Inside<'v, V>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Inside<'v, V>;
    type SerializeStructVariant = Inside<'v, V>;

    fn serialize_bool(self, value: bool) -> Done {
        self.0.number(i64::from(value));
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Done {
        self.0.number(value);
        Ok(())
    }
    fn serialize_u8(self, value: u8) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Done {
        self.serialize_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }
    fn serialize_f32(self, _value: f32) -> Done {
        Ok(())
    }
    fn serialize_f64(self, _value: f64) -> Done {
        Ok(())
    }
    fn serialize_char(self, _value: char) -> Done {
        Ok(())
    }
    fn serialize_str(self, text: &str) -> Done {
        self.0.string(text);
        Ok(())
    }
    fn serialize_bytes(self, _value: &[u8]) -> Done {
        Ok(())
    }
    fn serialize_none(self) -> Done {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        Ok(())
    }
    fn serialize_unit_struct(self, node: &'static str) -> Done {
        self.0.enter(node);
        self.0.leave(node);
        Ok(())
    }
    fn serialize_unit_variant(self, _enumeration: &'static str, _index: u32, _variant: &'static str) -> Done {
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _node: &'static str, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _enumeration: &'static str,
        _index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Done {
        value.serialize(self)
    }
    fn serialize_seq(self, _len: Option<usize>) -> Result<Inside<'v, V>, Error> {
        Ok(Inside { visitor: self.0, node: "" })
    }
    fn serialize_tuple(self, _len: usize) -> Result<Inside<'v, V>, Error> {
        Ok(Inside { visitor: self.0, node: "" })
    }
    fn serialize_tuple_struct(self, node: &'static str, len: usize) -> Result<Inside<'v, V>, Error> {
        self.serialize_struct(node, len)
    }
    fn serialize_tuple_variant(
        self,
        _enumeration: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Inside<'v, V>, Error> {
        self.serialize_struct(variant, len)
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Err(Error)
    }
    fn serialize_struct(self, node: &'static str, _len: usize) -> Result<Inside<'v, V>, Error> {
        self.0.enter(node);
        Ok(Inside { visitor: self.0, node })
    }
    fn serialize_struct_variant(
        self,
        _enumeration: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Inside<'v, V>, Error> {
        self.serialize_struct(variant, len)
    }
}

impl<V: Visitor> SerializeSeq for Inside<'_, V> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(Visit(self.visitor))
    }
    fn end(self) -> Done {
        Ok(())
    }
}

impl<V: Visitor> SerializeTuple for Inside<'_, V> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(Visit(self.visitor))
    }
    fn end(self) -> Done {
        Ok(())
    }
}

impl<V: Visitor> SerializeStruct for Inside<'_, V> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Done {
        self.visitor.field(self.node, field, value);
        Ok(())
    }
    fn end(self) -> Done {
        self.visitor.leave(self.node);
        Ok(())
    }
}

impl<V: Visitor> SerializeStructVariant for Inside<'_, V> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Done {
        self.visitor.field(self.node, field, value);
        Ok(())
    }
    fn end(self) -> Done {
        self.visitor.leave(self.node);
        Ok(())
    }
}

impl<V: Visitor> SerializeTupleStruct for Inside<'_, V> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.visitor.field(self.node, "", value);
        Ok(())
    }
    fn end(self) -> Done {
        self.visitor.leave(self.node);
        Ok(())
    }
}

impl<V: Visitor> SerializeTupleVariant for Inside<'_, V> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.visitor.field(self.node, "", value);
        Ok(())
    }
    fn end(self) -> Done {
        self.visitor.leave(self.node);
        Ok(())
    }
}
