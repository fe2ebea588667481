//! A library with steps and workflows in it. The programs that use it are its tests, each a crate of its own.
//! A workflow that no program names is found all the same, because the linker lists it.

use durable::{StepFailed, step, workflow};

/// What is bought.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Order {
    /// What of.
    pub item: String,
    /// How many.
    pub count: u32,
}

/// Checks the stock.
#[step]
pub fn reserve(order: &Order) -> Result<u32, StepFailed> {
    Ok(order.count)
}

/// Writes the label.
#[step]
pub async fn label<T: AsRef<str> + Sync>(item: &T, count: u32) -> String {
    std::future::ready(format!("{count} x {}", item.as_ref())).await
}

/// Packs an order.
#[workflow]
pub fn pack(order: Order) -> Result<u32, StepFailed> {
    Ok(reserve(&order)? + 1)
}

/// Sends an order.
#[workflow]
pub async fn send(order: Order) -> Result<String, StepFailed> {
    let packed = pack(order.clone())?;
    Ok(label(&order.item, packed).await)
}

/// Makes a workflow in the crate that calls it.
#[macro_export]
macro_rules! pack_twice {
    ($name:ident) => {
        #[durable::workflow]
        fn $name(order: $crate::Order) -> Result<u32, durable::StepFailed> {
            Ok($crate::pack(order.clone())? + $crate::pack(order)?)
        }
    };
}

/// Nobody names what is in here.
mod deep {
    mod deeper {
        use durable::workflow;

        #[workflow]
        fn hidden_in_the_library() {}
    }
}
