//! The SQL step: raw columns in, canonical columns out, batch by batch.
//!
//! Batches stream through the SQL, so it must be row-local: what it makes of a row may depend on that row alone. That is
//! checked on the parsed statement, once, before anything is read. `UNION ALL` is allowed (a raw row may become several
//! examples); its branches run one by one and their rows are put in the order of the raw rows, so that the result does
//! not depend on where a batch ends.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use polars::prelude::{DataFrame, IntoLazy};
use polars::sql::SQLContext;
use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query as Statement, Select, SelectItem, SetExpr, SetOperator, SetQuantifier,
    Statement as AnyStatement, TableFactor, visit_expressions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::NormalizeError;
use crate::shard::frame::{from_polars, to_polars};

/// The name under which each branch also selects the raw row that a result row comes from.
const ORIGIN: &str = "__row";

/// Functions whose value depends on other rows, or that make several rows of one.
const ACROSS_ROWS: &[&str] = &[
    "array_agg",
    "avg",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "dense_rank",
    "first",
    "first_value",
    "group_concat",
    "lag",
    "last",
    "last_value",
    "lead",
    "listagg",
    "max",
    "median",
    "min",
    "quantile_cont",
    "quantile_disc",
    "rank",
    "row_number",
    "stddev",
    "stddev_samp",
    "stdev",
    "stdev_samp",
    "string_agg",
    "sum",
    "total",
    "unnest",
    "var",
    "var_samp",
    "variance",
];

/// A task's SQL, checked.
#[derive(Debug)]
pub(super) struct Query {
    task: String,
    branches: Vec<String>,
    columns: Option<BTreeSet<String>>,
}

/// Rows that the SQL gives.
#[derive(Debug)]
pub(super) struct Selected {
    /// The raw `row` that each comes from.
    pub rows: Int64Array,
    /// Their columns.
    pub columns: RecordBatch,
}

impl Query {
    /// Parses the SQL of `task`, and refuses what is not row-local.
    pub(super) fn parse(task: &str, sql: &str) -> Result<Self, NormalizeError> {
        let wrong = |message: String| NormalizeError::Sql { task: task.to_owned(), message };
        let parsed = Parser::parse_sql(&GenericDialect {}, sql).map_err(|e| wrong(format!("does not parse: {e}")))?;
        let [AnyStatement::Query(query)] = parsed.as_slice() else {
            return Err(wrong("must be one SELECT statement".to_owned()));
        };
        let refuse = |what: &str| {
            wrong(format!("uses {what}, but runs on each row by itself (`SELECT … FROM raw WHERE …`, UNION ALL)"))
        };
        let mut selects = Vec::new();
        collect(query, &mut selects).map_err(|what| refuse(&what))?;
        let columns = columns(&selects);
        let branches = selects.into_iter().map(with_origin).collect();
        Ok(Self { task: task.to_owned(), branches, columns })
    }

    /// The raw columns that the SQL uses; `None`: any.
    pub(super) fn columns(&self) -> Option<&BTreeSet<String>> {
        self.columns.as_ref()
    }

    /// Runs the SQL on `raw`, a batch of `path`'s rows with their `row`.
    pub(super) fn run(&self, path: &Path, raw: &RecordBatch) -> Result<Selected, NormalizeError> {
        let wrong = |message: String| NormalizeError::Query {
            task: self.task.clone(),
            path: path.to_owned(),
            // Polars adds the plan after a blank line.
            message: message.split("\n\n").next().unwrap_or_default().to_owned(),
            columns: raw.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", "),
        };
        let used = (0..raw.num_columns()).filter(|&index| {
            let name = raw.schema_ref().field(index).name();
            name == "row" || self.columns.as_ref().is_none_or(|used| used.contains(name))
        });
        let used = raw.project(&used.collect::<Vec<_>>()).map_err(|e| wrong(e.to_string()))?;
        let frame = to_polars(std::slice::from_ref(&used)).map_err(|e| wrong(e.to_string()))?;
        let results = self.branches.iter().map(|sql| run(sql, &frame)).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let merged = merge(results).map_err(wrong)?;
        let index = merged.schema().index_of(ORIGIN).expect("every branch selects it");
        let rows = merged.column(index).as_primitive::<Int64Type>().clone();
        let mut columns = merged;
        columns.remove_column(index);
        Ok(Selected { rows, columns })
    }
}

fn run(sql: &str, frame: &DataFrame) -> Result<RecordBatch, String> {
    let mut context = SQLContext::new();
    context.register("raw", frame.clone().lazy());
    let result = context.execute(sql).and_then(polars::prelude::LazyFrame::collect).map_err(|e| e.to_string())?;
    from_polars(&result).map_err(|e| e.to_string())
}

/// The rows of all branches in the order of the raw rows; of one raw row, in the order of the branches.
fn merge(mut branches: Vec<RecordBatch>) -> Result<RecordBatch, String> {
    if branches.len() == 1 {
        return branches.pop().ok_or_else(String::new);
    }
    let branches = aligned(branches)?;
    let mut order: Vec<(i64, usize, usize)> = Vec::new();
    for (branch, rows) in branches.iter().enumerate() {
        let origin = rows.column_by_name(ORIGIN).expect("every branch selects it").as_primitive::<Int64Type>();
        order.extend(origin.values().iter().enumerate().map(|(index, row)| (*row, branch, index)));
    }
    order.sort_unstable();
    let order: Vec<(usize, usize)> = order.into_iter().map(|(_, branch, index)| (branch, index)).collect();
    interleave_record_batch(&branches.iter().collect::<Vec<_>>(), &order).map_err(|e| e.to_string())
}

/// The branches with the same columns: a NULL in one takes the type that the column has in another.
fn aligned(branches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, String> {
    let names = |rows: &RecordBatch| rows.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let first = names(&branches[0]);
    if let Some(other) = branches.iter().map(names).find(|other| *other != first) {
        let (first, other) = (first.join(", "), other.join(", "));
        return Err(format!("the parts of UNION ALL select different columns: {first} and {other}"));
    }
    let types: Vec<DataType> = (0..first.len())
        .map(|index| {
            let mut types = branches.iter().map(|rows| rows.column(index).data_type());
            types.find(|t| **t != DataType::Null).cloned().unwrap_or(DataType::Utf8)
        })
        .collect();
    let align = |rows: RecordBatch| {
        let columns = rows.columns().iter().zip(&types).map(|(column, want)| cast(column, want));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        let columns = first.iter().cloned().zip(columns).map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| e.to_string())
    };
    branches.into_iter().map(align).collect()
}

/// The SELECTs of a query in order, or what it uses that is not row-local.
fn collect(query: &Statement, selects: &mut Vec<Select>) -> Result<(), String> {
    let clauses = [
        (query.with.is_some(), "WITH"),
        (query.order_by.is_some(), "ORDER BY"),
        (query.limit_clause.is_some() || query.fetch.is_some(), "LIMIT"),
        (!query.pipe_operators.is_empty(), "a pipe"),
    ];
    refuse_any(&clauses)?;
    collect_set(&query.body, selects)
}

fn collect_set(body: &SetExpr, selects: &mut Vec<Select>) -> Result<(), String> {
    match body {
        SetExpr::Select(select) => {
            check_select(select)?;
            selects.push((**select).clone());
            Ok(())
        }
        SetExpr::Query(query) => collect(query, selects),
        SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier: SetQuantifier::All, right } => {
            collect_set(left, selects)?;
            collect_set(right, selects)
        }
        SetExpr::SetOperation { op, .. } => Err(format!("{op} without ALL")),
        _ => Err("something other than SELECT".to_owned()),
    }
}

fn refuse_any(clauses: &[(bool, &str)]) -> Result<(), String> {
    clauses.iter().find(|(used, _)| *used).map_or(Ok(()), |(_, clause)| Err((*clause).to_owned()))
}

fn check_select(select: &Select) -> Result<(), String> {
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
    };
    refuse_any(&[
        (select.distinct.is_some(), "DISTINCT"),
        (select.top.is_some(), "TOP"),
        (grouped, "GROUP BY"),
        (select.having.is_some(), "HAVING"),
        (select.qualify.is_some(), "QUALIFY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (!select.sort_by.is_empty() || !select.cluster_by.is_empty(), "SORT BY"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.into.is_some(), "INTO"),
    ])?;
    let [table] = select.from.as_slice() else { return Err("more or less than the one table `raw`".to_owned()) };
    if !table.joins.is_empty() {
        return Err("JOIN".to_owned());
    }
    match &table.relation {
        TableFactor::Table { name, args: None, sample: None, .. } if name.to_string() == "raw" => {}
        other => return Err(format!("`{other}` where only `raw` is")),
    }
    let found = visit_expressions(select, |expression| match expression {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
            ControlFlow::Break("a subquery".to_owned())
        }
        Expr::Function(function) if function.over.is_some() => ControlFlow::Break("OVER".to_owned()),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            if ACROSS_ROWS.contains(&name.as_str()) {
                ControlFlow::Break(format!("the function {}", name.to_uppercase()))
            } else {
                ControlFlow::Continue(())
            }
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(what) => Err(what),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Every column that the SELECTs name; `None` where they hold a wildcard.
fn columns(selects: &[Select]) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for select in selects {
        let wild = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        if select.projection.iter().any(wild) {
            return None;
        }
        let by_pattern = visit_expressions(select, |expression| {
            match expression {
                Expr::Identifier(name) => drop(names.insert(name.value.clone())),
                Expr::CompoundIdentifier(path) => names.extend(path.last().map(|name| name.value.clone())),
                Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("columns") => {
                    return ControlFlow::Break(());
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        if by_pattern.is_break() {
            return None;
        }
    }
    Some(names)
}

fn with_origin(mut select: Select) -> String {
    let row = Expr::Identifier(Ident::new("row"));
    select.projection.push(SelectItem::ExprWithAlias { expr: row, alias: Ident::new(ORIGIN) });
    select.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn raw(rows: std::ops::Range<i64>) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("text {row}"))));
        let row: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
        RecordBatch::try_from_iter([("text", texts), ("row", row)]).unwrap()
    }

    /// Each row as text, with the raw row that it comes from.
    fn texts(selected: &Selected) -> Vec<String> {
        let columns: Vec<ArrayRef> =
            selected.columns.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap()).collect();
        let value =
            |column: &ArrayRef, index| column.as_string::<i32>().iter().nth(index).unwrap().unwrap_or("-").to_owned();
        (0..selected.columns.num_rows())
            .map(|index| {
                let values: Vec<String> = columns.iter().map(|column| value(column, index)).collect();
                format!("{}: {}", selected.rows.value(index), values.join(" "))
            })
            .collect()
    }

    #[test]
    fn what_depends_on_other_rows_is_refused() {
        for (sql, says) in [
            ("SELECT text FROM raw ORDER BY text", "ORDER BY"),
            ("SELECT text FROM raw LIMIT 3", "LIMIT"),
            ("SELECT DISTINCT text FROM raw", "DISTINCT"),
            ("SELECT text FROM raw GROUP BY text", "GROUP BY"),
            ("SELECT MAX(row) AS row FROM raw", "the function MAX"),
            ("SELECT text FROM raw WHERE row < (SELECT 3)", "a subquery"),
            ("SELECT UPPER(LAST(text)) AS text FROM raw", "the function LAST"),
            ("SELECT SUM(row) OVER (ORDER BY row) AS row FROM raw", "OVER"),
            ("SELECT text FROM raw JOIN raw AS b ON raw.row = b.row", "JOIN"),
            ("SELECT text FROM raw, raw AS b", "the one table"),
            ("SELECT text FROM other", "`other`"),
            ("SELECT text FROM (SELECT text FROM raw) AS x", "only `raw`"),
            ("WITH x AS (SELECT 1) SELECT text FROM raw", "WITH"),
            ("SELECT text FROM raw UNION SELECT text FROM raw", "UNION without ALL"),
            ("SELECT text FROM raw EXCEPT SELECT text FROM raw", "EXCEPT"),
            ("DELETE FROM raw", "must be one SELECT"),
            ("SELECT text FROM raw; SELECT text FROM raw", "must be one SELECT"),
            ("SELECT text FROM raw WHERE", "does not parse"),
        ] {
            let message = Query::parse("toy", sql).unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("task toy"), "{sql}: {message}");
        }
    }

    #[test]
    fn the_columns_in_use_are_known() {
        let columns =
            |sql| Query::parse("toy", sql).unwrap().columns.map(|c| c.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(columns("SELECT UPPER(a) AS x, r.b AS y FROM raw AS r WHERE c > 1").as_deref(), Some("a b c"));
        assert_eq!(columns("SELECT 'x' AS a FROM raw").as_deref(), Some(""));
        assert_eq!(columns("SELECT *, 1 AS b FROM raw"), None);
    }

    #[test]
    fn an_error_names_the_file_and_the_columns_there_are() {
        let query = Query::parse("toy", "SELECT premise AS text_a FROM raw").unwrap();
        let message = query.run(Path::new("x.tsv"), &raw(0..2)).unwrap_err().to_string();
        assert!(message.contains("x.tsv") && message.contains("premise") && message.contains("text, row"), "{message}");
    }

    #[test]
    fn branches_that_select_different_columns_are_refused() {
        let query = Query::parse("toy", "SELECT text FROM raw UNION ALL SELECT text AS b FROM raw").unwrap();
        let message = query.run(Path::new("x.tsv"), &raw(0..2)).unwrap_err().to_string();
        assert!(message.contains("different columns"), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_result_does_not_depend_on_where_batches_end(mut cuts in proptest::collection::vec(1i64..40, 0..5)) {
            let sql = "SELECT text, NULL AS gold, 'a' AS side FROM raw WHERE row % 3 <> 1
                       UNION ALL SELECT UPPER(text) AS text, text AS gold, 'b' AS side FROM raw WHERE row % 2 = 0";
            let query = Query::parse("toy", sql).unwrap();
            let run = |rows| texts(&query.run(Path::new("x"), &raw(rows)).unwrap());
            cuts.extend([0, 40]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).filter(|cut| cut[0] < cut[1]).flat_map(|cut| run(cut[0]..cut[1]));
            prop_assert_eq!(parts.collect::<Vec<_>>(), run(0..40));
        }
    }
}
