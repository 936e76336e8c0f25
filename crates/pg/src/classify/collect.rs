//! Collects every string and node name inside of a piece of a parse tree, in order.

use serde::Serialize;

use super::visit::{Visit, Visitor};

/// Strings and node names of a piece.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Values of string fields that are not empty, and of every `String` node even when empty.
    pub(super) strings: Vec<String>,
    /// Struct names of the nodes.
    pub(super) nodes: Vec<&'static str>,
    in_string: bool,
}

impl Collected {
    /// Collects all of `piece`.
    pub(super) fn of<T: Serialize + ?Sized>(piece: &T) -> Self {
        let mut collected = Self::default();
        // The collector itself never fails.
        let _never = piece.serialize(Visit(&mut collected));
        collected
    }

    /// The strings, if the piece is a list of plain literals (or of words, which stand for themselves).
    pub(super) fn literals(self) -> Option<Vec<String>> {
        let plain = |node: &&'static str| matches!(*node, "Node" | "AConst" | "String");
        self.nodes.iter().all(plain).then_some(self.strings)
    }

    /// The strings, borrowed.
    pub(super) fn names(&self) -> Vec<&str> {
        self.strings.iter().map(String::as_str).collect()
    }
}

impl Visitor for Collected {
    fn string(&mut self, text: &str) {
        if self.in_string || !text.is_empty() {
            self.strings.push(text.to_owned());
        }
    }

    fn enter(&mut self, node: &'static str) {
        self.nodes.push(node);
        self.in_string = node == "String";
    }

    fn field<T: Serialize + ?Sized>(&mut self, _node: &'static str, _field: &'static str, value: &T) {
        let _never = value.serialize(Visit(self));
    }

    fn leave(&mut self, _node: &'static str) {
        self.in_string = false;
    }
}

/// A number or flag field; `None` for anything else.
pub(super) fn number<T: Serialize + ?Sized>(value: &T) -> Option<i64> {
    struct Number(Option<i64>);
    impl Visitor for Number {
        fn number(&mut self, value: i64) {
            self.0.get_or_insert(value);
        }
        fn field<T: Serialize + ?Sized>(&mut self, _node: &'static str, _field: &'static str, _value: &T) {}
    }
    let mut number = Number(None);
    let _never = value.serialize(Visit(&mut number));
    number.0
}

/// Whether an optional or repeated field holds something.
pub(super) fn is_some<T: Serialize + ?Sized>(value: &T) -> bool {
    struct Filled(bool);
    impl Visitor for Filled {
        fn enter(&mut self, _node: &'static str) {
            self.0 = true;
        }
        fn field<T: Serialize + ?Sized>(&mut self, _node: &'static str, _field: &'static str, _value: &T) {}
    }
    let mut filled = Filled(false);
    let _never = value.serialize(Visit(&mut filled));
    filled.0
}

/// The names of fields in a path of fields and subscripts; what stands inside of subscripts is left out.
pub(super) fn fields<T: Serialize + ?Sized>(path: &T) -> Vec<String> {
    #[derive(Default)]
    struct Fields {
        names: Vec<String>,
        subscripts: usize,
    }
    impl Visitor for Fields {
        fn string(&mut self, text: &str) {
            if self.subscripts == 0 {
                self.names.push(text.to_owned());
            }
        }
        fn enter(&mut self, node: &'static str) {
            self.subscripts += usize::from(node == "AIndices");
        }
        fn field<T: Serialize + ?Sized>(&mut self, _node: &'static str, _field: &'static str, value: &T) {
            let _never = value.serialize(Visit(self));
        }
        fn leave(&mut self, node: &'static str) {
            self.subscripts -= usize::from(node == "AIndices");
        }
    }
    let mut fields = Fields::default();
    let _never = path.serialize(Visit(&mut fields));
    fields.names
}

/// What a `RangeFunction` is made of.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The last names of its functions, without what stands in their arguments.
    pub(super) functions: Vec<String>,
    /// Names in its column definitions.
    pub(super) defined: Vec<String>,
    /// One of its sources is no function call by form: a cast, `COALESCE`, …
    pub(super) other: bool,
}

impl Sources {
    /// Adds what stands in `piece`.
    pub(super) fn add<T: Serialize + ?Sized>(&mut self, piece: &T) {
        let _never = piece.serialize(Visit(self));
    }
}

impl Visitor for Sources {
    fn enter(&mut self, node: &'static str) {
        self.other |= !matches!(node, "Node" | "List" | "FuncCall" | "ColumnDef");
    }

    fn field<T: Serialize + ?Sized>(&mut self, node: &'static str, field: &'static str, value: &T) {
        match (node, field) {
            ("FuncCall", "funcname") => self.functions.extend(Collected::of(value).strings.pop()),
            ("ColumnDef", "colname") => self.defined.extend(Collected::of(value).strings.pop()),
            ("Node" | "List", _) => self.add(value),
            _ => {}
        }
    }
}
