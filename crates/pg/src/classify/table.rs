//! The closed world of parse nodes: what each kind of statement needs, and which nodes do nothing by themselves.
//!
//! SECURITY: a node named in neither table makes the text [`Class::Admin`]; a newer grammar cannot smuggle one in.

use daypass_access::action::{Class, ClassSet, Risk};

/// A kind of statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// What it is called to people.
    pub(super) verb: &'static str,
    /// What it needs by itself; what stands inside of it adds to this.
    pub(super) classes: ClassSet,
    /// What it risks.
    pub(super) risk: Option<Risk>,
    /// Whether it may be part of a pure read.
    pub(super) pure: bool,
}

const fn kind(verb: &'static str, classes: ClassSet) -> Kind {
    Kind { verb, classes, risk: None, pure: false }
}

const SESSION: ClassSet = ClassSet::EMPTY.with(Class::Session);
const READ: ClassSet = ClassSet::EMPTY.with(Class::Read);
const WRITE: ClassSet = ClassSet::EMPTY.with(Class::Write);
const DDL: ClassSet = ClassSet::EMPTY.with(Class::Ddl);
const CALL: ClassSet = ClassSet::EMPTY.with(Class::Call);
const ADMIN: ClassSet = ClassSet::EMPTY.with(Class::Admin);

/// What a parse node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A statement, at the top or inside of another.
    Statement(Kind),
    /// A piece that does nothing by itself.
    Piece,
    /// Neither: not understood.
    Unknown,
}

/// Looks a node up by the name of its struct.
pub(super) fn node(name: &str) -> Node {
    match statement(name) {
        Some(kind) => Node::Statement(kind),
        None if PIECES.contains(&name) => Node::Piece,
        None => Node::Unknown,
    }
}

fn statement(name: &str) -> Option<Kind> {
    data(name).or_else(|| session(name)).or_else(|| ddl(name)).or_else(|| admin(name))
}

fn data(name: &str) -> Option<Kind> {
    Some(match name {
        "SelectStmt" => Kind { pure: true, ..kind("SELECT", ClassSet::EMPTY) },
        "InsertStmt" => kind("INSERT", WRITE),
        "UpdateStmt" => kind("UPDATE", WRITE),
        "DeleteStmt" => kind("DELETE", WRITE),
        "MergeStmt" => kind("MERGE", WRITE),
        "CopyStmt" => kind("COPY", ClassSet::EMPTY),
        "ExplainStmt" => Kind { pure: true, ..kind("EXPLAIN", READ) },
        "DeclareCursorStmt" => kind("DECLARE CURSOR", SESSION),
        "FetchStmt" => kind("FETCH", READ),
        "PrepareStmt" => kind("PREPARE", SESSION),
        "ExecuteStmt" => kind("EXECUTE", SESSION),
        "RefreshMatViewStmt" => kind("REFRESH MATERIALIZED VIEW", WRITE),
        "CallStmt" => kind("CALL", CALL),
        "LockStmt" => kind("LOCK TABLE", READ),
        _ => return None,
    })
}

fn session(name: &str) -> Option<Kind> {
    Some(match name {
        "TransactionStmt" => Kind { pure: true, ..kind("TRANSACTION", SESSION) },
        "VariableSetStmt" => kind("SET", SESSION),
        "VariableShowStmt" => Kind { pure: true, ..kind("SHOW", SESSION) },
        "ClosePortalStmt" => kind("CLOSE", SESSION),
        "DeallocateStmt" => kind("DEALLOCATE", SESSION),
        "DiscardStmt" => kind("DISCARD", SESSION),
        "ConstraintsSetStmt" => kind("SET CONSTRAINTS", SESSION),
        "ListenStmt" => kind("LISTEN", SESSION),
        "UnlistenStmt" => kind("UNLISTEN", SESSION),
        "NotifyStmt" => kind("NOTIFY", SESSION),
        _ => return None,
    })
}

fn ddl(name: &str) -> Option<Kind> {
    Some(match name {
        "CreateStmt" => kind("CREATE TABLE", DDL),
        "CreateTableAsStmt" => kind("CREATE TABLE AS", DDL.with(Class::Write)),
        "IntoClause" => kind("SELECT INTO", DDL.with(Class::Write)),
        "ViewStmt" => kind("CREATE VIEW", DDL),
        "IndexStmt" => kind("CREATE INDEX", DDL),
        "CreateSchemaStmt" => kind("CREATE SCHEMA", DDL),
        "CreateSeqStmt" => kind("CREATE SEQUENCE", DDL),
        "AlterSeqStmt" => kind("ALTER SEQUENCE", DDL),
        "CreateStatsStmt" => kind("CREATE STATISTICS", DDL),
        "AlterStatsStmt" => kind("ALTER STATISTICS", DDL),
        "CreateEnumStmt" | "CompositeTypeStmt" | "CreateRangeStmt" => kind("CREATE TYPE", DDL),
        "AlterEnumStmt" => kind("ALTER TYPE", DDL),
        "CreateDomainStmt" => kind("CREATE DOMAIN", DDL),
        "AlterDomainStmt" => kind("ALTER DOMAIN", DDL),
        "CreateForeignTableStmt" => kind("CREATE FOREIGN TABLE", DDL),
        "AlterTableStmt" => kind("ALTER TABLE", DDL),
        "AlterTableMoveAllStmt" => kind("ALTER TABLE", DDL),
        "AlterObjectSchemaStmt" | "RenameStmt" | "AlterObjectDependsStmt" => kind("ALTER", DDL),
        // A trigger makes others run code: it needs what calling needs.
        "CreateTrigStmt" => kind("CREATE TRIGGER", DDL.with(Class::Call)),
        "CommentStmt" => kind("COMMENT", DDL),
        "ClusterStmt" => kind("CLUSTER", DDL),
        "ReindexStmt" => kind("REINDEX", DDL),
        "VacuumStmt" => kind("VACUUM", DDL),
        "DropStmt" => Kind { risk: Some(Risk::Drop), ..kind("DROP", DDL) },
        "TruncateStmt" => Kind { risk: Some(Risk::Truncate), ..kind("TRUNCATE", DDL.with(Class::Write)) },
        _ => return None,
    })
}

/// Who may do what, code that others will run, programs, the server itself.
fn admin(name: &str) -> Option<Kind> {
    const GRANT: Option<Risk> = Some(Risk::Grant);
    const DROP: Option<Risk> = Some(Risk::Drop);
    let (verb, risk) = match name {
        "GrantStmt" | "GrantRoleStmt" => ("GRANT", GRANT),
        "AlterDefaultPrivilegesStmt" => ("ALTER DEFAULT PRIVILEGES", GRANT),
        "CreateRoleStmt" => ("CREATE ROLE", GRANT),
        "AlterRoleStmt" | "AlterRoleSetStmt" => ("ALTER ROLE", GRANT),
        "DropRoleStmt" => ("DROP ROLE", DROP),
        "ReassignOwnedStmt" => ("REASSIGN OWNED", GRANT),
        "DropOwnedStmt" => ("DROP OWNED", DROP),
        "AlterOwnerStmt" => ("ALTER OWNER", GRANT),
        "CreatePolicyStmt" | "AlterPolicyStmt" => ("POLICY", GRANT),
        "SecLabelStmt" => ("SECURITY LABEL", GRANT),
        "DoStmt" => ("DO", None),
        "CreateFunctionStmt" => ("CREATE FUNCTION", None),
        "AlterFunctionStmt" => ("ALTER FUNCTION", None),
        "DefineStmt" => ("CREATE", None),
        "AlterOperatorStmt" | "AlterTypeStmt" | "AlterCollationStmt" => ("ALTER", None),
        "CreateOpClassStmt" | "CreateOpFamilyStmt" | "AlterOpFamilyStmt" => ("OPERATOR CLASS", None),
        "CreateCastStmt" => ("CREATE CAST", None),
        "CreateConversionStmt" => ("CREATE CONVERSION", None),
        "CreateTransformStmt" => ("CREATE TRANSFORM", None),
        "CreatePLangStmt" => ("CREATE LANGUAGE", None),
        "CreateAmStmt" => ("CREATE ACCESS METHOD", None),
        "RuleStmt" => ("CREATE RULE", None),
        "CreateEventTrigStmt" | "AlterEventTrigStmt" => ("EVENT TRIGGER", None),
        "CreateExtensionStmt" | "AlterExtensionStmt" | "AlterExtensionContentsStmt" => ("EXTENSION", None),
        "CreateFdwStmt" | "AlterFdwStmt" => ("FOREIGN DATA WRAPPER", None),
        "CreateForeignServerStmt" | "AlterForeignServerStmt" => ("SERVER", None),
        "CreateUserMappingStmt" | "AlterUserMappingStmt" => ("USER MAPPING", GRANT),
        "DropUserMappingStmt" => ("USER MAPPING", DROP),
        "ImportForeignSchemaStmt" => ("IMPORT FOREIGN SCHEMA", None),
        "CreatePublicationStmt" | "AlterPublicationStmt" => ("PUBLICATION", None),
        "CreateSubscriptionStmt" | "AlterSubscriptionStmt" => ("SUBSCRIPTION", None),
        "DropSubscriptionStmt" => ("SUBSCRIPTION", DROP),
        "CreateTableSpaceStmt" | "AlterTableSpaceOptionsStmt" => ("TABLESPACE", None),
        "DropTableSpaceStmt" => ("DROP TABLESPACE", DROP),
        "CreatedbStmt" => ("CREATE DATABASE", None),
        "AlterDatabaseStmt" | "AlterDatabaseRefreshCollStmt" | "AlterDatabaseSetStmt" => {
            ("ALTER DATABASE", None)
        }
        "DropdbStmt" => ("DROP DATABASE", DROP),
        "AlterSystemStmt" => ("ALTER SYSTEM", None),
        "AlterTsDictionaryStmt" | "AlterTsConfigurationStmt" => ("ALTER TEXT SEARCH", None),
        "CheckPointStmt" => ("CHECKPOINT", None),
        "LoadStmt" => ("LOAD", None),
        _ => return None,
    };
    Some(Kind { risk, ..kind(verb, ADMIN) })
}

/// Nodes of expressions, ranges and definitions. What they call is named by `FuncCall`, operators and sampling methods, which
/// the walk judges; what they contain, it visits.
static PIECES: &[&str] = &[
    "AArrayExpr",
    "AConst",
    "AExpr",
    "AIndices",
    "AIndirection",
    "AStar",
    "AccessPriv",
    "Alias",
    "AlterTableCmd",
    "AtAlterConstraint",
    "BitString",
    "BoolExpr",
    "Boolean",
    "BooleanTest",
    "CaseExpr",
    "CaseWhen",
    "CoalesceExpr",
    "CollateClause",
    "ColumnDef",
    "ColumnRef",
    "CommonTableExpr",
    "Constraint",
    "CreateOpClassItem",
    "CteCycleClause",
    "CteSearchClause",
    "CurrentOfExpr",
    "DefElem",
    "Float",
    "FuncCall",
    "FunctionParameter",
    "GroupingFunc",
    "GroupingSet",
    "IndexElem",
    "InferClause",
    "Integer",
    "JoinExpr",
    "JsonAggConstructor",
    "JsonArgument",
    "JsonArrayAgg",
    "JsonArrayConstructor",
    "JsonArrayQueryConstructor",
    "JsonBehavior",
    "JsonFormat",
    "JsonFuncExpr",
    "JsonIsPredicate",
    "JsonKeyValue",
    "JsonObjectAgg",
    "JsonObjectConstructor",
    "JsonOutput",
    "JsonParseExpr",
    "JsonReturning",
    "JsonScalarExpr",
    "JsonSerializeExpr",
    "JsonTable",
    "JsonTableColumn",
    "JsonTablePathSpec",
    "JsonValueExpr",
    "List",
    "LockingClause",
    "MergeSupportFunc",
    "MergeWhenClause",
    "MinMaxExpr",
    "MultiAssignRef",
    "NamedArgExpr",
    "Node",
    "NullTest",
    "ObjectWithArgs",
    "OnConflictClause",
    "ParamRef",
    "PartitionBoundSpec",
    "PartitionCmd",
    "PartitionElem",
    "PartitionRangeDatum",
    "PartitionSpec",
    "PublicationObjSpec",
    "PublicationTable",
    "RangeFunction",
    "RangeSubselect",
    "RangeTableFunc",
    "RangeTableFuncCol",
    "RangeTableSample",
    "RangeVar",
    "RawStmt",
    "ReplicaIdentityStmt",
    "ResTarget",
    "ReturningClause",
    "ReturningOption",
    "RoleSpec",
    "RowExpr",
    "SetToDefault",
    "SortBy",
    "SqlValueFunction",
    "StatsElem",
    "String",
    "SubLink",
    "TableLikeClause",
    "TriggerTransition",
    "TypeCast",
    "TypeName",
    "VacuumRelation",
    "WindowDef",
    "WithClause",
    "XmlExpr",
    "XmlSerialize",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_is_both_a_statement_and_a_piece() {
        for piece in PIECES {
            assert_eq!(statement(piece), None, "{piece}");
        }
    }

    #[test]
    fn planner_nodes_are_unknown() {
        for name in
            ["Query", "FuncExpr", "OpExpr", "PlannedStmt", "NextValueExpr", "PlAssignStmt", "ReturnStmt", ""]
        {
            assert_eq!(node(name), Node::Unknown, "{name}");
        }
    }
}
