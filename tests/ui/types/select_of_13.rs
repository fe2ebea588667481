// `select!` takes 12 arms at most.
async fn fulfil() -> u8 {
    durable::select! {
        n = async { 1 } => n, n = async { 2 } => n, n = async { 3 } => n, n = async { 4 } => n,
        n = async { 5 } => n, n = async { 6 } => n, n = async { 7 } => n, n = async { 8 } => n,
        n = async { 9 } => n, n = async { 10 } => n, n = async { 11 } => n, n = async { 12 } => n,
        n = async { 13 } => n,
    }
}

fn main() {}
