//! The whole story, once.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use trueroute_demo::{Show, Stage, farewell, tell};

/// What was printed.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_step_holds_and_nothing_is_left_behind() {
    let page = Page::default();
    let mut show = Show::new(page.clone(), false);
    let mut stage = Stage::set().await.unwrap();
    let dir = stage.dir().to_owned();
    let told = tell(&mut stage, &mut show).await;
    farewell(&stage, &mut show);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    if let Err(failed) = told {
        panic!("{}\n{text}", failed.chain());
    }
    for step in 1..=5 {
        assert!(text.contains(&format!("\n{step}. ")), "step {step} is not told:\n{text}");
    }
    assert!(text.is_ascii() && !text.contains('\u{1b}'), "a plain terminal could not show:\n{text}");
    stage.stop().await;
    assert!(!dir.exists());
}
