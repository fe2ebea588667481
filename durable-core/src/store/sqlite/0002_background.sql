-- Version 2: runs that nobody executes for a while, and what is asked of those that somebody executes.
--
-- Glossary, besides that of version 1
--   wake_at    when a run that waits is taken up again; null: it does not wait. No process holds it until then
--   wanted     what was asked of the process that executes the run
--   CANCELLED  ended because somebody asked for it; PAUSED: given up until somebody asks to go on
--
-- Columns that came after version 1 are part of the checksum only where they are not null, so a row that was
-- written before has the checksum that it had.

create table workflows_2 (
  id          text    not null primary key check (typeof(id) = 'text'),
  name        text    not null,
  status      text    not null check (status in ('RUNNING', 'COMPLETED', 'FAILED', 'HALTED', 'CANCELLED', 'PAUSED')),
  input       text    not null,
  output      text,
  error       text,
  created     integer not null,
  updated     integer not null,
  owner       text,
  epoch       integer not null,
  parent      text,
  recoveries  integer not null check (recoveries >= 0),
  nonce       integer not null,
  seed        integer not null,
  fingerprint integer not null,
  escaped     integer not null check (escaped in (0, 1)),
  checksum    integer,
  wake_at     integer,
  wanted      text    check (wanted in ('CANCEL', 'PAUSE'))
) without rowid;

insert into workflows_2
select id, name, status, input, output, error, created, updated, owner, epoch, parent, recoveries, nonce, seed,
       fingerprint, escaped, checksum, null, null
from workflows;

drop table workflows;

alter table workflows_2 rename to workflows;

-- The kinds of operations are not checked here any more: each release has more of them, and reading a row checks it.
create table steps_2 (
  workflow_id      text    not null check (typeof(workflow_id) = 'text'),
  position         blob    not null,
  step_key         text    not null,
  kind             text    not null,
  scope            text,
  status           text    not null check (status in ('COMPLETED', 'FAILED')),
  output           text    not null,
  args_fingerprint integer,
  args             text,
  site             text    not null,
  attempts         integer not null check (attempts >= 0),
  started          integer not null,
  timestamp        integer not null,
  epoch            integer not null,
  build            integer not null,
  checksum         integer,
  primary key (workflow_id, position)
) without rowid;

insert into steps_2
select workflow_id, position, step_key, kind, scope, status, output, args_fingerprint, args, site, attempts,
       started, timestamp, epoch, build, checksum
from steps;

drop table steps;

alter table steps_2 rename to steps;

-- Who has runs that have not ended, and which: asked when an owner dies.
create index workflows_running on workflows (owner) where status = 'RUNNING';

-- Which runs are due.
create index workflows_waiting on workflows (wake_at) where wake_at is not null;

-- Which of its runs a process is asked to stop.
create index workflows_wanted on workflows (owner) where wanted is not null;

-- Which runs a run has started: they are cancelled with it.
create index workflows_parent on workflows (parent) where parent is not null;
