//! The peers that store through `sqlx`, each measured when `durable-peers` asks for it on the command line:
//! `WHO WORK FOLDER full|shipped RUNS STEPS WARM`. Without arguments, prints where this program is.

mod durare;
mod duroxide;
#[path = "../../src/machine.rs"]
#[expect(dead_code, reason = "the raw loops are the other program's")]
mod machine;
#[path = "../../src/work.rs"]
mod work;

use sqlx::sqlite::SqlitePool;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let Some((who, order)) = args.split_first() else {
        println!("{}", std::env::current_exe().expect("a path").display());
        return;
    };
    let order = work::Order::parse(order);
    match who.as_str() {
        "durare" => work::obey::<durare::Durare>(&order),
        "duroxide" => work::obey::<duroxide::Duroxide>(&order),
        other => unreachable!("no such engine: {other}"),
    }
}

/// What the connections of a pool say of themselves, all of them.
async fn pragmas(pool: &SqlitePool) -> String {
    let mut said = Vec::new();
    let mut all = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        let mut connection = pool.acquire().await.expect("a connection");
        let row: (String, i64, String) = sqlx::query_as(
            "select sqlite_version(), (select synchronous from pragma_synchronous), \
             (select journal_mode from pragma_journal_mode)",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("its settings");
        said.push(row);
        all.push(connection);
    }
    said.dedup();
    let said: Vec<_> = said
        .iter()
        .map(|(version, synchronous, log)| format!("SQLite {version}, {log}, synchronous={synchronous}"))
        .collect();
    format!("{} on each of {} connections", said.join(" and "), all.len())
}

fn number_of(input: &str) -> u32 {
    input.parse().expect("a number")
}
