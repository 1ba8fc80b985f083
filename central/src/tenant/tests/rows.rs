//! A row of a company in every tenant table, made from what the catalogue says of its columns.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::CompanyId;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// What the schema says, as far as rows depend on it.
pub struct Catalogue {
    columns: BTreeMap<String, Vec<Column>>,
    /// Table, its columns, the table referred to, the columns there.
    references: Vec<(String, Vec<String>, String, Vec<String>)>,
    /// Table and definition.
    checks: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: String,
    needed: bool,
    made: bool,
    has_default: bool,
}

/// What a check across columns asks for, which nobody reads out of its definition.
const CHOSEN: [(&str, &str, &str); 7] = [
    ("bus_message", "due_at_ms", "1"),
    ("commission_rate", "seller_kind", "agent"),
    ("commission_rate", "seller", "Mary"),
    ("commission_rate", "amount_minor", "100"),
    ("commission_rate", "currency", "ZMW"),
    ("discount", "percent_bp", "500"),
    ("voucher", "percent_bp", "500"),
];

/// What was there or was made: a row by table; and why not, by table.
pub struct Filled {
    pub rows: BTreeMap<String, Map<String, Value>>,
    pub failed: BTreeMap<String, String>,
}

impl Catalogue {
    pub async fn read(owner: &mut PgConnection) -> Self {
        let mut columns: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        let rows = sqlx::query(
            "SELECT c.relname::text AS t, a.attname::text AS n,
                 format_type(a.atttypid, a.atttypmod) AS k, a.attnotnull AS needed,
                 a.attidentity <> '' OR a.attgenerated <> '' AS made, a.atthasdef AS d
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
                 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum",
        )
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        for row in rows {
            columns.entry(row.get("t")).or_default().push(Column {
                name: row.get("n"),
                kind: row.get("k"),
                needed: row.get("needed"),
                made: row.get("made"),
                has_default: row.get("d"),
            });
        }
        let references = sqlx::query(
            "SELECT r.relname::text AS t, f.relname::text AS other,
                 (SELECT array_agg(attname::text ORDER BY o) FROM unnest(conkey) WITH ORDINALITY k(n, o)
                  JOIN pg_attribute ON attrelid = conrelid AND attnum = k.n) AS here,
                 (SELECT array_agg(attname::text ORDER BY o) FROM unnest(confkey) WITH ORDINALITY k(n, o)
                  JOIN pg_attribute ON attrelid = confrelid AND attnum = k.n) AS there
             FROM pg_constraint JOIN pg_class r ON r.oid = conrelid JOIN pg_class f ON f.oid = confrelid
             WHERE contype = 'f' AND r.relnamespace = 'public'::regnamespace",
        )
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        let checks: Vec<(String, String)> = sqlx::query_as(
            "SELECT r.relname::text, pg_get_constraintdef(k.oid) FROM pg_constraint k
             JOIN pg_class r ON r.oid = conrelid
             WHERE contype = 'c' AND r.relnamespace = 'public'::regnamespace
             -- A check of one column says more of it than one of several, and a list of values most.
             ORDER BY cardinality(k.conkey), pg_get_constraintdef(k.oid) NOT LIKE '%= ANY%',
                 r.relname, k.conname",
        )
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        Self {
            columns,
            references: references
                .into_iter()
                .map(|r| (r.get("t"), r.get("here"), r.get("other"), r.get("there")))
                .collect(),
            checks,
        }
    }

    /// Every table that holds companies' rows.
    pub fn tenant_tables(&self) -> BTreeSet<&str> {
        let has = |columns: &[Column]| columns.iter().any(|c| c.name == "company_id");
        let tables = self.columns.iter().filter(|(_, columns)| has(columns));
        tables.map(|(table, _)| table.as_str()).collect()
    }

    /// Every other table.
    pub fn other_tables(&self) -> BTreeSet<&str> {
        let tenant = self.tenant_tables();
        let all = self.columns.keys().map(String::as_str);
        all.filter(|t| !tenant.contains(t)).collect()
    }

    /// A row of each table, the company's where it holds companies' rows.
    pub async fn found(
        &self,
        owner: &mut PgConnection,
        company: CompanyId,
    ) -> BTreeMap<String, Map<String, Value>> {
        let mut rows = BTreeMap::new();
        for table in self.columns.keys() {
            let of = if self.tenant_tables().contains(table.as_str()) {
                format!("WHERE company_id = '{}'", company.0)
            } else {
                String::new()
            };
            let select = format!("SELECT to_jsonb(t) FROM {table} AS t {of} LIMIT 1");
            let found: Option<Value> = sqlx::query_scalar(AssertSqlSafe(select))
                .fetch_optional(&mut *owner)
                .await
                .unwrap();
            if let Some(Value::Object(row)) = found {
                rows.insert(table.clone(), row);
            }
        }
        rows
    }

    /// Gives a company a row in each of its tables that has none; texts are marked.
    pub async fn fill(&self, owner: &mut PgConnection, company: CompanyId, mark: &str) -> Filled {
        let mut filled = Filled {
            rows: self.found(owner, company).await,
            failed: BTreeMap::new(),
        };
        // A row may need another table's first: as many rounds as there can be steps.
        for _ in 0..8 {
            // What a trigger has made meanwhile counts too.
            for (table, row) in self.found(owner, company).await {
                filled.failed.remove(&table);
                filled.rows.entry(table).or_insert(row);
            }
            for table in self.tenant_tables() {
                if filled.rows.contains_key(table) {
                    continue;
                }
                match self.insert(owner, company, mark, table, &filled.rows).await {
                    Ok(row) => {
                        filled.failed.remove(table);
                        filled.rows.insert(table.to_owned(), row);
                    }
                    Err(why) => {
                        filled.failed.insert(table.to_owned(), why);
                    }
                }
            }
        }
        filled
    }

    async fn insert(
        &self,
        owner: &mut PgConnection,
        company: CompanyId,
        mark: &str,
        table: &str,
        rows: &BTreeMap<String, Map<String, Value>>,
    ) -> Result<Map<String, Value>, String> {
        let mut why = String::new();
        for texts_too in [true, false] {
            let Some(statement) = self.statement(company, mark, table, rows, texts_too) else {
                return Err("a table that it refers to has no row".to_owned());
            };
            let mut tx = owner.begin().await.unwrap();
            let made = sqlx::query_scalar(AssertSqlSafe(statement))
                .fetch_one(&mut *tx)
                .await;
            match made {
                Ok(Value::Object(row)) => {
                    tx.commit().await.unwrap();
                    return Ok(row);
                }
                Ok(other) => why = format!("no row: {other}"),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    fn statement(
        &self,
        company: CompanyId,
        mark: &str,
        table: &str,
        rows: &BTreeMap<String, Map<String, Value>>,
        texts_too: bool,
    ) -> Option<String> {
        let (mut names, mut values) = (vec![], vec![]);
        for column in &self.columns[table] {
            if column.made {
                continue;
            }
            let text = column.kind == "text";
            let chosen = CHOSEN
                .iter()
                .find(|(t, c, _)| *t == table && *c == column.name);
            let needed = column.needed && !column.has_default;
            let marked = texts_too && text && !column.has_default;
            let wanted = needed || chosen.is_some() || marked;
            if !wanted {
                continue;
            }
            let value = if let Some((.., value)) = chosen {
                (*value).to_owned()
            } else if column.name == "company_id" {
                company.0.to_string()
            } else {
                match self.referred(table, &column.name, rows) {
                    Referred::Value(value) => value,
                    Referred::NoRow if column.needed => return None,
                    Referred::NoRow => continue,
                    Referred::Nothing => self.value(table, column, mark),
                }
            };
            names.push(column.name.clone());
            values.push(format!("'{}'::{}", value.replace('\'', "''"), column.kind));
        }
        Some(format!(
            "INSERT INTO {table} ({}) VALUES ({}) RETURNING to_jsonb({table}.*)",
            names.join(", "),
            values.join(", ")
        ))
    }

    fn referred(
        &self,
        table: &str,
        column: &str,
        rows: &BTreeMap<String, Map<String, Value>>,
    ) -> Referred {
        for (from, here, other, there) in &self.references {
            if from != table || other == table {
                continue;
            }
            let Some(at) = here.iter().position(|c| c == column) else {
                continue;
            };
            return match rows.get(other).map(|row| &row[&there[at]]) {
                Some(Value::String(text)) => Referred::Value(text.clone()),
                Some(value) => Referred::Value(value.to_string()),
                None => Referred::NoRow,
            };
        }
        Referred::Nothing
    }

    fn value(&self, table: &str, column: &Column, mark: &str) -> String {
        let checks = self.checks.iter().filter(|(t, _)| t == table);
        let checks: Vec<&str> = checks.map(|(_, check)| check.as_str()).collect();
        let listed = first_word(&checks, &column.name);
        if let Some(word) = listed {
            return match column.kind.strip_suffix("[]") {
                Some(_) => format!("{{{word}}}"),
                None => word,
            };
        }
        let name = column.name.as_str();
        match column.kind.as_str() {
            "text" if name.ends_with("zone") => "Africa/Lusaka".to_owned(),
            "text" if name.ends_with("currency") => "ZMW".to_owned(),
            "text" if name.ends_with("email") => format!("{mark}@example.com"),
            "text" if name.ends_with("date") || name.ends_with("day") => "2026-12-01".to_owned(),
            "text" => format!("{mark} {name}"),
            "uuid" => uuid::Uuid::from_u128(u128::from(getrandom::u64().unwrap())).to_string(),
            "boolean" => "true".to_owned(),
            "bytea" => format!("\\x{}", "07".repeat(32)),
            "jsonb" | "json" => format!("{{\"note\": \"{mark}\"}}"),
            "date" => "2026-12-01".to_owned(),
            kind if kind.ends_with("range") => "[0,1)".to_owned(),
            "text[]" => format!("{{{mark}}}"),
            "uuid[]" => "{}".to_owned(),
            kind if kind.ends_with("[]") => "{1}".to_owned(),
            "bigint" if name.ends_with("_ms") => "1790000000000".to_owned(),
            _ => "1".to_owned(),
        }
    }
}

enum Referred {
    Value(String),
    NoRow,
    Nothing,
}

/// The first word that the checks allow a column: `(state = ANY (ARRAY['held'::text, …`. A list
/// says more than one word in a condition on other columns, and checks come in any order.
fn first_word(checks: &[&str], column: &str) -> Option<String> {
    for shape in [
        format!("({column} = ANY (ARRAY['"),
        format!("({column} <@ ARRAY['"),
        format!("({column} = '"),
    ] {
        let rest = checks.iter().find_map(|check| check.split_once(&shape));
        if let Some((_, rest)) = rest {
            return rest.split('\'').next().map(str::to_owned);
        }
    }
    None
}
