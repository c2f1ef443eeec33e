"""The comparison of arXiv 2603.05172: every method, at every width, on every split."""

from pathlib import Path

from benchmarks.command import add_data_dir, add_n_jobs, make_parser, plain_errors, positive, print_table
from benchmarks.datasets import NAMES, load_several
from benchmarks.methods import ALL_METHODS, PAPER_TRAINING
from benchmarks.paper.protocol import DATASETS, KEY, METHODS, PROFILES, compare, search


def main(argv=None):
    parser = make_parser(__spec__, __doc__)
    parser.add_argument(
        "--profile",
        default="quick",
        choices=PROFILES,
        help="quick: bits 2 3 4 6 8, seeds 42-44, one head of 3 x 256 for the methods of the paper; full: bits 2-8, "
        "seeds 42-51, and the search of the paper for each method, meant for a GPU (default: %(default)s)",
    )
    parser.add_argument("--dataset", nargs="+", default=DATASETS, metavar="NAME", help=f"of {', '.join(NAMES)}")
    add_data_dir(parser)
    parser.add_argument("--n-samples", type=positive, metavar="N", help="rows of fried; the other sets come whole")
    parser.add_argument("--bits", type=positive, nargs="+", metavar="B", help="bits per feature")
    parser.add_argument(
        "--methods", nargs="+", default=METHODS, choices=ALL_METHODS, metavar="METHOD", help="of %(choices)s"
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="one per split")
    parser.add_argument("--hidden-sizes", type=positive, nargs="+", metavar="UNITS", help="of the head")
    parser.add_argument(
        "--max-epochs",
        type=positive,
        metavar="N",
        help=f"of every method (default: {PAPER_TRAINING['max_epochs']} for those of the paper, their own for ours)",
    )
    parser.add_argument("--dropout", type=float, metavar="P", help="of the head (default: none)")
    parser.add_argument("--n-configs", type=int, metavar="N", help="configurations to search, 0 for none")
    parser.add_argument("--device", metavar="DEVICE", help="where to train: cpu, cuda, ... (default: cpu)")
    add_n_jobs(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("paper.csv"),
        metavar="CSV",
        help="append each row here once known; a rerun skips the rows it finds and tries again those that failed "
        "(default: %(default)s). What is searched goes to a file of that name with -search.",
    )
    arguments = parser.parse_args(argv)
    profile = PROFILES[arguments.profile]
    bits, seeds = arguments.bits or profile.bits, arguments.seeds or profile.seeds
    n_configs = profile.n_configs if arguments.n_configs is None else arguments.n_configs
    given = {name: getattr(arguments, name) for name in ("hidden_sizes", "max_epochs", "dropout", "device")}
    training = {name: value for name, value in given.items() if value is not None}
    shared = {"training": training, "paper_training": profile.paper_training, "n_jobs": arguments.n_jobs}
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir, n_samples=arguments.n_samples)
        configs = {}
        if n_configs:
            tried = arguments.output.with_name(f"{arguments.output.stem}-search.csv")
            configs = search(data, bits, arguments.methods, seeds, n_configs, tried, **shared)
        results = compare(data, bits, arguments.methods, seeds, arguments.output, configs=configs, **shared)
    failed = results[results["error"].isna()]
    if len(failed):
        print_table(failed[[*KEY, "failure"]])
    print(f"{len(results) - len(failed)} of {len(results)} cells measured, in {arguments.output}.")
    print(f"The tables and plots: python -m benchmarks.paper.report {arguments.output}")


if __name__ == "__main__":
    main()
