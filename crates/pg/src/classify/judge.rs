//! Judges one statement: sees every node of it and adds up what they need.
//!
//! Reading order: [`Judge::enter`] (what a node is), then `Judge::field` (the fields that decide), then `Judge::leave`.

use daypass_access::action::{Action, Class, ClassSet, Risk, RiskSet};
use pg_query::protobuf::{AlterTableType, ObjectType, TransactionStmtKind};
use serde::Serialize;

use super::collect::{Collected, fields, is_some, number};
use super::function::{self, Effect};
use super::notation::{Notation, RangeFunction};
use super::visit::{Visit, Visitor};
use super::{Plan, setting, table};

/// Most tables named for display.
const TABLES_MAX: usize = 32;

/// What was seen of a statement so far.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) classes: ClassSet,
    pub(super) risks: RiskSet,
    pub(super) verb: Option<&'static str>,
    pub(super) tables: Vec<String>,
    pub(super) plans: Vec<Plan>,
    /// The value of a string decided something.
    pub(super) looks_at_strings: bool,
    act: bool,
    ctes: Vec<String>,
    /// References to data seen: a condition without any does not restrict.
    references: usize,
    /// The next SELECT is the row list of an INSERT.
    rows_of_insert: bool,
    /// The table last named is of the catalog. Not asked of `tables`: that list is for display, and ends somewhere.
    last_range_is_catalog: bool,
    /// References `alias.name`, and the functions in FROM they may mean.
    notation: Notation,
    stack: Vec<State>,
}

/// What is remembered between the fields of one node.
#[derive(Debug)]
enum State {
    Plain,
    /// VALUES of an INSERT: reads nothing by itself.
    Rows,
    Range {
        schema: String,
        name: String,
        alias: Vec<String>,
    },
    RangeFunction(RangeFunction),
    SetConfig,
    Set {
        name: String,
        values: Option<Vec<String>>,
    },
    Copy {
        inward: bool,
        server_side: bool,
    },
    Explain {
        inner: Box<Judge>,
        runs: bool,
    },
    Prepare {
        name: String,
        inner: Box<Judge>,
    },
}

impl Judge {
    /// Judges a statement.
    pub(super) fn of<T: Serialize + ?Sized>(statement: &T) -> Self {
        let mut judge = Self::default();
        judge.walk(statement);
        let notation = std::mem::take(&mut judge.notation);
        if notation.shows_secrets() {
            judge.needs_class(Class::Admin);
        }
        if notation.calls() {
            judge.needs_class(Class::Call);
        }
        let ctes = std::mem::take(&mut judge.ctes);
        judge.tables.retain(|table| !ctes.contains(table));
        judge
    }

    /// What the pipeline needs to know.
    pub(super) fn action(&self) -> Action {
        let classes = if self.classes.is_empty() { ClassSet::EMPTY.with(Class::Admin) } else { self.classes };
        let calm = ClassSet::EMPTY.with(Class::Session).with(Class::Read);
        Action { classes, risks: self.risks, pure_read: !self.act && classes.minus(calm).is_empty() }
    }

    fn walk<T: Serialize + ?Sized>(&mut self, value: &T) {
        // SECURITY: what could not be walked to its end was not seen.
        if value.serialize(Visit(self)).is_err() {
            self.needs(ClassSet::EMPTY.with(Class::Admin));
        }
    }

    fn inside<T: Serialize + ?Sized>(value: &T) -> Box<Self> {
        Box::new(Self::of(value))
    }

    /// An act that needs these classes.
    fn needs(&mut self, classes: ClassSet) {
        self.classes = self.classes.union(classes);
        self.act = true;
    }

    fn needs_class(&mut self, class: Class) {
        self.needs(ClassSet::EMPTY.with(class));
    }

    fn reads(&mut self) {
        self.classes = self.classes.with(Class::Read);
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Needs(classes) => self.needs(classes),
            Effect::SetConfig => {
                self.act = true;
                self.looks_at_strings = true;
                if let Some(state) = self.stack.last_mut() {
                    *state = State::SetConfig;
                }
            }
        }
    }

    fn merge(&mut self, inner: &mut Self) {
        self.classes = self.classes.union(inner.classes);
        self.risks = self.risks.union(inner.risks);
        self.act |= inner.act;
        self.looks_at_strings |= inner.looks_at_strings;
        self.tables.append(&mut inner.tables);
        self.tables.truncate(TABLES_MAX);
        self.plans.append(&mut inner.plans);
    }

    /// A table that is changed: changing the catalog by hand is administration.
    fn target<T: Serialize + ?Sized>(&mut self, relation: &T) {
        self.walk(relation);
        if self.last_range_is_catalog {
            self.needs_class(Class::Admin);
        }
    }

    fn condition<T: Serialize + ?Sized>(&mut self, node: &str, value: &T) {
        let before = self.references;
        self.walk(value);
        if self.references == before {
            let risk = if node == "DeleteStmt" { Risk::DeleteWithoutWhere } else { Risk::UpdateWithoutWhere };
            self.risks = self.risks.with(risk);
        }
    }

    fn range_ends(&mut self, schema: &str, name: &str) {
        if function::is_secret_table(schema, name) {
            self.needs_class(Class::Admin);
        }
        self.last_range_is_catalog =
            (schema.is_empty() && name.starts_with("pg_")) || schema.starts_with("pg_");
        if self.tables.len() < TABLES_MAX {
            self.tables.push(match schema {
                "" => name.to_owned(),
                "pg_catalog" if name.starts_with("pg_") => name.to_owned(),
                "pg_catalog" => format!("pg_catalog.{name}"),
                schema => format!("{schema}.{name}"),
            });
        }
    }
}

impl Visitor for Judge {
    fn enter(&mut self, node: &'static str) {
        let mut state = State::Plain;
        match table::node(node) {
            table::Node::Statement(kind) => {
                self.verb.get_or_insert(kind.verb);
                self.classes = self.classes.union(kind.classes);
                self.risks = kind.risk.map_or(self.risks, |risk| self.risks.with(risk));
                self.act |= !kind.pure;
            }
            table::Node::Piece => {}
            table::Node::Unknown => self.needs_class(Class::Admin),
        }
        match node {
            "SelectStmt" if std::mem::take(&mut self.rows_of_insert) => state = State::Rows,
            "SelectStmt" | "ReturningClause" => self.reads(),
            "LockingClause" => self.needs_class(Class::Write),
            "ColumnRef" | "CurrentOfExpr" => self.references += 1,
            "RangeVar" => state = State::Range { schema: String::new(), name: String::new(), alias: vec![] },
            "RangeFunction" => state = State::RangeFunction(RangeFunction::default()),
            "VariableSetStmt" => state = State::Set { name: String::new(), values: None },
            "CopyStmt" => state = State::Copy { inward: false, server_side: false },
            "ExplainStmt" => state = State::Explain { inner: Box::default(), runs: false },
            "PrepareStmt" => state = State::Prepare { name: String::new(), inner: Box::default() },
            _ => {}
        }
        self.stack.push(state);
    }

    fn field<T: Serialize + ?Sized>(&mut self, node: &'static str, field: &'static str, value: &T) {
        match (node, field) {
            ("FuncCall", "funcname") => self.effect(function::function(&Collected::of(value).names())),
            ("FuncCall", "args") => {
                if matches!(self.stack.last(), Some(State::SetConfig)) {
                    let classes = set_config(&Collected::of(value));
                    self.needs(classes);
                }
                self.walk(value);
            }
            ("ColumnRef", "fields") => {
                let Collected { strings: names, nodes, .. } = Collected::of(value);
                self.notation.names(&names, nodes.contains(&"AStar"));
                if let [.., alias, last] = names.as_slice() {
                    self.effect(function::column(last));
                    self.notation.refers(alias, last);
                }
                self.walk(value);
            }
            ("AIndirection", "indirection") => {
                for name in fields(value) {
                    self.notation.names(std::slice::from_ref(&name), false);
                    self.effect(function::field(&name));
                }
                self.walk(value);
            }
            ("AExpr", "name") => self.effect(function::operator(&Collected::of(value).names())),
            ("SubLink", "oper_name") | ("SortBy", "use_op") if is_some(value) => {
                self.effect(function::operator(&Collected::of(value).names()));
            }
            ("RangeTableSample", "method") => {
                self.effect(function::sampling(&Collected::of(value).names()));
            }
            ("InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt", "relation") => self.target(value),
            ("UpdateStmt" | "DeleteStmt", "where_clause") | ("MergeStmt", "join_condition") => {
                self.condition(node, value)
            }
            ("UpdateStmt", "from_clause")
            | ("DeleteStmt", "using_clause")
            | ("MergeStmt", "source_relation") => {
                if is_some(value) {
                    self.reads();
                }
                self.walk(value);
            }
            ("InsertStmt", "select_stmt") => {
                self.rows_of_insert = true;
                self.walk(value);
                self.rows_of_insert = false;
            }
            ("CommonTableExpr", "ctename") => self.ctes.append(&mut Collected::of(value).strings),
            _ => self.statement_field(node, field, value),
        }
    }

    fn leave(&mut self, _node: &'static str) {
        match self.stack.pop().unwrap_or(State::Plain) {
            State::Plain | State::Rows => {}
            // `set_config` without arguments to look at.
            State::SetConfig => {}
            State::RangeFunction(source) => self.notation.may_mean(source),
            State::Range { schema, name, alias } => {
                self.range_ends(&schema, &name);
                self.notation.table(&schema, name, alias);
            }
            State::Set { name, values } => self.needs(setting::set(&name, values.as_deref())),
            State::Copy { server_side: true, .. } => self.needs_class(Class::Admin),
            State::Copy { inward: true, .. } => {
                self.needs(ClassSet::EMPTY.with(Class::CopyIn).with(Class::Write));
                if self.last_range_is_catalog {
                    self.needs_class(Class::Admin);
                }
            }
            State::Copy { inward: false, .. } => {
                self.needs(ClassSet::EMPTY.with(Class::CopyOut).with(Class::Read));
            }
            State::Explain { mut inner, runs } => {
                if !runs {
                    // Planned only: changes nothing. Functions may still be called while planning.
                    let changes = ClassSet::EMPTY.with(Class::Write).with(Class::Ddl);
                    inner.classes = inner.classes.minus(changes);
                    inner.risks = RiskSet::EMPTY;
                }
                self.merge(&mut inner);
            }
            State::Prepare { name, mut inner } => {
                self.plans.push(Plan::Prepare { name, action: inner.action() });
                self.merge(&mut inner);
            }
        }
    }
}

impl Judge {
    /// Fields that decide, of statements that are only ever at the top.
    fn statement_field<T: Serialize + ?Sized>(&mut self, node: &'static str, field: &'static str, value: &T) {
        let text = || Collected::of(value).strings.pop().unwrap_or_default();
        let state = self.stack.last_mut();
        match (node, field, state) {
            ("SelectStmt", "target_list" | "from_clause" | "larg", Some(State::Rows)) => {
                if is_some(value) {
                    self.reads();
                }
                self.walk(value);
            }
            ("RangeVar", "schemaname", Some(State::Range { schema, .. })) => *schema = text(),
            ("RangeVar", "relname", Some(State::Range { name, .. })) => *name = text(),
            ("RangeFunction", _, Some(State::RangeFunction(source))) => {
                source.field(field, value);
                self.walk(value);
            }
            ("RangeVar", "alias", Some(State::Range { alias, .. })) => *alias = Collected::of(value).strings,
            ("JoinExpr", "alias", _) if is_some(value) => self.notation.whole_rows(),
            ("CopyStmt", "relation", _) if is_some(value) => {
                self.notation.whole_rows();
                self.walk(value);
            }
            ("VariableSetStmt", "name", Some(State::Set { name, .. })) => *name = text(),
            ("VariableSetStmt", "args", Some(State::Set { values, .. })) => {
                *values = Collected::of(value).literals();
                self.walk(value);
            }
            ("CopyStmt", "is_from", Some(State::Copy { inward, .. })) => *inward = number(value) != Some(0),
            ("CopyStmt", "is_program", Some(State::Copy { server_side, .. })) => {
                *server_side |= number(value) != Some(0);
            }
            ("CopyStmt", "filename", Some(State::Copy { server_side, .. })) => {
                *server_side |= !text().is_empty();
            }
            ("ExplainStmt", "query", Some(State::Explain { inner, .. })) => *inner = Self::inside(value),
            ("ExplainStmt", "options", Some(State::Explain { runs, .. })) => {
                // `ANALYZE off` counts as well: what is written is what is weighed.
                *runs = Collected::of(value).strings.iter().any(|s| s.eq_ignore_ascii_case("analyze"));
            }
            ("PrepareStmt", "name", Some(State::Prepare { name, .. })) => *name = text(),
            ("PrepareStmt", "query", Some(State::Prepare { inner, .. })) => *inner = Self::inside(value),
            ("ExecuteStmt", "name", _) => self.plans.push(Plan::Execute { name: text() }),
            ("DeallocateStmt", "name", _) => match text() {
                name if name.is_empty() => self.plans.push(Plan::DeallocateAll),
                name => self.plans.push(Plan::Deallocate { name }),
            },
            ("DiscardStmt", _, _) => self.plans.push(Plan::DeallocateAll),
            _ => {
                self.number_field(node, field, value);
                self.walk(value);
            }
        }
    }

    fn number_field<T: Serialize + ?Sized>(&mut self, node: &'static str, field: &'static str, value: &T) {
        let code = || number(value).and_then(|n| i32::try_from(n).ok()).unwrap_or(-1);
        match (node, field) {
            ("TransactionStmt", "kind") => match TransactionStmtKind::try_from(code()) {
                Ok(
                    TransactionStmtKind::TransStmtBegin
                    | TransactionStmtKind::TransStmtStart
                    | TransactionStmtKind::TransStmtRollback
                    | TransactionStmtKind::TransStmtSavepoint
                    | TransactionStmtKind::TransStmtRelease
                    | TransactionStmtKind::TransStmtRollbackTo,
                ) => {}
                Ok(TransactionStmtKind::TransStmtCommit) => self.act = true,
                // Prepared transactions outlive the session.
                Ok(
                    TransactionStmtKind::TransStmtPrepare
                    | TransactionStmtKind::TransStmtCommitPrepared
                    | TransactionStmtKind::TransStmtRollbackPrepared,
                ) => self.needs_class(Class::Write),
                Ok(TransactionStmtKind::Undefined) | Err(_) => self.needs_class(Class::Admin),
            },
            // 1 is ACCESS SHARE, what a SELECT takes; pg_dump asks for it.
            ("LockStmt", "mode") if code() != 1 => self.needs_class(Class::Write),
            ("AlterTableCmd", "subtype") => self.alteration(AlterTableType::try_from(code()).ok()),
            ("DropStmt", "remove_type") | ("RenameStmt", "rename_type")
                if ObjectType::try_from(code()).map_or(true, is_admin_object) =>
            {
                self.needs_class(Class::Admin);
            }
            _ => {}
        }
    }

    fn alteration(&mut self, kind: Option<AlterTableType>) {
        match kind {
            None | Some(AlterTableType::Undefined) => self.needs_class(Class::Admin),
            Some(
                AlterTableType::AtChangeOwner
                | AlterTableType::AtEnableRowSecurity
                | AlterTableType::AtDisableRowSecurity
                | AlterTableType::AtForceRowSecurity
                | AlterTableType::AtNoForceRowSecurity
                | AlterTableType::AtEnableRule
                | AlterTableType::AtEnableAlwaysRule
                | AlterTableType::AtEnableReplicaRule
                | AlterTableType::AtDisableRule,
            ) => self.needs_class(Class::Admin),
            Some(AlterTableType::AtDropColumn | AlterTableType::AtDropConstraint) => {
                self.risks = self.risks.with(Risk::Drop);
            }
            // A column type can be changed by an expression that empties it.
            Some(AlterTableType::AtAlterColumnType) => self.needs_class(Class::Write),
            Some(_) => {}
        }
    }
}

/// Objects whose removal or renaming touches who may do what, or the server.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other object is data or its shape")]
fn is_admin_object(kind: ObjectType) -> bool {
    match kind {
        ObjectType::Undefined
        | ObjectType::ObjectAccessMethod
        | ObjectType::ObjectCast
        | ObjectType::ObjectConversion
        | ObjectType::ObjectDatabase
        | ObjectType::ObjectEventTrigger
        | ObjectType::ObjectExtension
        | ObjectType::ObjectFdw
        | ObjectType::ObjectForeignServer
        | ObjectType::ObjectLanguage
        | ObjectType::ObjectOpclass
        | ObjectType::ObjectOperator
        | ObjectType::ObjectOpfamily
        | ObjectType::ObjectParameterAcl
        | ObjectType::ObjectPolicy
        | ObjectType::ObjectPublication
        | ObjectType::ObjectRole
        | ObjectType::ObjectRule
        | ObjectType::ObjectSubscription
        | ObjectType::ObjectTablespace
        | ObjectType::ObjectTransform
        | ObjectType::ObjectUserMapping
        // Renaming a function over another's name makes callers run it.
        | ObjectType::ObjectAggregate
        | ObjectType::ObjectFunction
        | ObjectType::ObjectProcedure
        | ObjectType::ObjectRoutine => true,
        _ => false,
    }
}

/// `set_config(name, value, is_local)`: like SET when name and value are literals, not understood otherwise.
fn set_config(args: &Collected) -> ClassSet {
    let plain = args.nodes.iter().all(|n| matches!(*n, "Node" | "AConst" | "String" | "Boolean"));
    match args.strings.as_slice() {
        [name, value] if plain => setting::set(name, Some(std::slice::from_ref(value))),
        _ => ClassSet::EMPTY.with(Class::Admin),
    }
}
