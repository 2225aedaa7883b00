//! Others in the list of TC ingress.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions},
};
use fw_user::testing::{OBJECT, object};

use super::{Lab, wait};

impl Lab {
    /// Put a program that lets everything go on first in the list of the LAN's interface. It stays there as long as what is returned.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn put_before_the_filter(&self) -> Result<(Ebpf, FdLink)> {
        let mut object = EbpfLoader::new().btf(None).load(OBJECT)?;
        let program: &mut SchedClassifier = object.program_mut(object::EGRESS).context("the program")?.try_into()?;
        // The kernel gives up when a signal comes, and tests get one whenever a child ends.
        wait::until("the program to be verified", || match program.load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == std::io::ErrorKind::WouldBlock => {
                Ok(None)
            }
            loaded => Ok(Some(loaded?)),
        })?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let attach =
            || program.attach_with_options("eth0", TcAttachType::Ingress, order).and_then(|id| program.take_link(id));
        let link = FdLink::try_from(self.pi.enter(attach)?)?;
        Ok((object, link))
    }
}
