pub(super) use clap::Args;
#[derive(Debug, Args)] pub(super) struct Options {}
pub(super) async fn run(_: &Options) -> anyhow::Result<()> { Ok(()) }
