// An expansion takes none of its names from the user's scope.
#![no_implicit_prelude]
#![deny(warnings)]

mod durable_functions {
    #[allow(dead_code)]
    mod core {}
    #[allow(dead_code)]
    mod std {}
    #[allow(dead_code)]
    mod durable {}
    #[allow(dead_code)]
    struct Result;
    #[allow(dead_code)]
    struct Option;
    #[allow(dead_code)]
    struct Probe;
    #[allow(dead_code)]
    struct Value;
    #[allow(dead_code)]
    struct Json;
    #[allow(dead_code)]
    const ARGS: u8 = 1;
    #[allow(unused_macros)]
    macro_rules! register {
        () => {};
    }

    #[::durable::step(retries = 1)]
    fn charge(__a: u8, card: ::std::string::String) -> ::core::result::Result<u8, u8> {
        use ::core::result::Result::Ok;
        let _ = card;
        Ok(__a)
    }

    #[::durable::step]
    async fn ship(id: u8) -> ::core::result::Result<u8, u8> {
        ::core::result::Result::Ok(id)
    }

    #[::durable::workflow]
    pub(super) async fn fulfil(id: u8, workflow_id: u8) -> ::core::result::Result<u8, u8> {
        charge(id, ::std::string::String::new())?;
        ship(workflow_id).await
    }
}

fn main() {
    let _future = durable_functions::fulfil::run_durable("a", 1, 2);
}
