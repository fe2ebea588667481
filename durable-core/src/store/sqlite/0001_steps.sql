-- The tables of a `durable` database, version 1. Times are unix milliseconds; hashes are 64 bits, signed.
--
-- Glossary
--   workflow   a function that runs durably; its name finds it again after a restart
--   run        one execution of a workflow under an id; one row of `workflows`
--   step       an operation of a run that has ended; one row of `steps`
--   position   the path of sequence numbers that leads to an operation, four bytes each, most significant first
--   owner      the process that executes a run: the name of the lock file that it holds
--   epoch      the number of an ownership; never used twice in this store
--   checksum   a hash of the other columns of the row; set it to null after an edit by hand

create table workflows (
  id          text    not null primary key check (typeof(id) = 'text'),
  name        text    not null,
  status      text    not null check (status in ('RUNNING', 'COMPLETED', 'FAILED', 'HALTED')),
  input       text    not null,               -- the arguments, a JSON array, or null if there are none
  output      text,                           -- the value, JSON
  error       text,                           -- the error (JSON), the fault or the panic (text)
  created     integer not null,
  updated     integer not null,
  owner       text,                           -- null: nobody executes it
  epoch       integer not null,
  parent      text,                           -- the run that started it
  recoveries  integer not null check (recoveries >= 0),
  nonce       integer not null,               -- random; idempotency keys carry it
  seed        integer not null,               -- random() and uuid() start from it
  fingerprint integer not null,               -- of the function's source, for diagnosis
  escaped     integer not null check (escaped in (0, 1)), -- a failure or a panic ended the body last: it runs again
  checksum    integer
) without rowid;                              -- looked up by its id alone

create table steps (
  workflow_id      text    not null check (typeof(workflow_id) = 'text'),
  position         blob    not null,
  step_key         text    not null,          -- <name>_<position>, for people and queries
  kind             text    not null check (kind in ('step', 'child', 'workflow', 'sleep')),
  scope            text,                      -- the construct whose branch it stands in; null in the root scope
  status           text    not null check (status in ('COMPLETED', 'FAILED')),
  output           text    not null,          -- the value or the error, JSON
  args_fingerprint integer,
  args             text,                      -- a JSON array, for steps with `args = record`
  site             text    not null,          -- where the step is declared
  attempts         integer not null check (attempts >= 0),
  started          integer not null,
  timestamp        integer not null,          -- when it was recorded
  epoch            integer not null,
  build            integer not null,          -- the program that recorded it
  checksum         integer,
  primary key (workflow_id, position)
) without rowid;                              -- a run's history is one range of the key

create table epochs (
  last integer not null                       -- one row: the epoch that was given out last
);

insert into epochs values (0);
