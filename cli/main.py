"""The app: its verbs, and how every error ends (one message, a documented exit code)."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass

import typer
from typer.main import get_command

from adapter_transfer.errors import AdapterTransferError, ConfigError, StoreError
from adapter_transfer.sharing.secrets import tokens_in
from adapter_transfer_cli import (
    adapters,
    compare,
    cp,
    data,
    demo,
    diff,
    doctor,
    evaluate,
    ls,
    plan,
    predict,
    prepare,
    report,
    results,
    sandbox,
    schema,
    serve,
    status,
    train,
    validate,
)
from adapter_transfer_cli.output import errors, printable

EXIT_CODES = """Exit codes: 0 all is well; 1 a bug or an unexpected error; 2 the command line or a configuration is
wrong, or nothing of it can be run; 3 the store cannot be used (missing, locked, damaged, newer, unwritable);
4 data or a checkpoint is missing or damaged; 5 some runs failed, the others are kept; 6 the device cannot be used;
130 interrupted (the same command goes on where it stopped)."""

INTERRUPTED = 130
GO_ON = "Interrupted. What is done is kept; the same command goes on where it stopped."


@dataclass
class Invocation:
    """What the options of one call leave for its end."""

    debug: bool = False


app = typer.Typer(
    name="adapter-transfer",
    help="What transfers from English intermediate tasks to other languages, and does size matter? "
    "Full fine-tuning beside adapters, across scales. Start with: adapter-transfer demo --quick",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (
    demo,
    compare,
    plan,
    prepare,
    status,
    results,
    diff,
    report,
    train,
    evaluate,
    predict,
    serve,
    cp,
    validate,
    schema,
    doctor,
):
    _verb.register(app)
app.add_typer(adapters.app, name="adapters")
app.add_typer(ls.app, name="ls")
app.add_typer(data.app, name="data")
app.add_typer(sandbox.app, name="sandbox")


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"adapter-transfer {version('adapter-transfer')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with a documented code."""
    invocation = Invocation()
    _prepare_process()
    try:
        _refuse_secrets(sys.argv[1:] if arguments is None else arguments)
        code = get_command(app).main(arguments, prog_name="adapter-transfer", standalone_mode=False, obj=invocation)
    except AdapterTransferError as error:
        _explain(str(error), invocation.debug)
        sys.exit(error.exit_code)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        _explain_usage(error)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        errors().print(GO_ON)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `adapter-transfer results | head`: nobody listens any more, and that is no error.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _explain("cannot write: no space left on the device. Free some space there.", invocation.debug)
            sys.exit(StoreError.exit_code)
        _explain(f"unexpected {type(error).__name__}: {error} (run again with --debug for the trace)", invocation.debug)
        sys.exit(1)
    if code == INTERRUPTED:  # typer makes this code of the interruption of a verb, and says nothing
        errors().print(GO_ON)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_secrets(arguments: list[str]) -> None:
    """Stops before an access token gets into a configuration, a record, a log or a report."""
    for number, argument in enumerate(arguments, 1):
        if kinds := tokens_in(argument, environment=os.environ):
            raise ConfigError(
                f"argument {number} holds {kinds[0]}. What stands on a command line gets into histories and records: "
                "take it out, and give a token of the Hub by `hf auth login` or HF_TOKEN. Nothing was started."
            )


def _prepare_process() -> None:
    """Makes SIGTERM (SLURM, systemd) an interruption like Ctrl-C, and an output that cannot show a sign show `?`."""

    def interrupt(signal_number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _explain_usage(error: typer.TyperException) -> None:
    # A wrong option or argument knows its command's usage and shows it; the base class does not.
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        _explain(error.format_message(), debug=False)


def _explain(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    errors().print(f"error: {printable(message)}", style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
