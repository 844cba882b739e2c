//! The spool: queue files, queue directories, delivery logs, behind a Disk seam.
