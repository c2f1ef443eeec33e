"""Run the comparison of arXiv 2603.05172: every method, with every number of bits, on every split.

A rerun tries again the cells that failed. The search stores its trials in a second file, whose name ends with -search.
"""

from benchmarks.arguments import given, make_parser
from benchmarks.command import plain_errors, print_failures
from benchmarks.datasets import load_several
from benchmarks.methods import ALL_METHODS
from benchmarks.paper.protocol import DATASETS, KEY, METHODS, PROFILES, compare, search


def parse(argv):
    """Parse the command line."""
    optional = ("data_dir", "n_samples", "bits", "seeds", "hidden_sizes", "max_epochs")
    parser = make_parser(__spec__, __doc__, *optional, dataset=DATASETS, n_jobs=1, output="paper.csv")
    parser.add_argument(
        "--profile",
        default="quick",
        choices=PROFILES,
        help="quick: bits 2 3 4 6 8, seeds 42-44, a head of 3 x 256 for the methods of the paper; full: bits 2-8, "
        "seeds 42-51, and the search of the paper for each method, meant for a GPU (default: %(default)s)",
    )
    parser.add_argument(
        "--methods", nargs="+", default=METHODS, choices=ALL_METHODS, metavar="METHOD", help="of %(choices)s"
    )
    parser.add_argument("--dropout", type=float, metavar="P", help="of the head (default: none)")
    parser.add_argument("--n-configs", type=int, metavar="N", help="configurations to search, 0 for none")
    parser.add_argument("--device", metavar="DEVICE", help="where to train: cpu, cuda, ... (default: cpu)")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments = parse(argv)
    profile = PROFILES[arguments.profile]
    bits, seeds = arguments.bits or profile.bits, arguments.seeds or profile.seeds
    n_configs = profile.n_configs if arguments.n_configs is None else arguments.n_configs
    training = given(arguments, "hidden_sizes", "max_epochs", "dropout", "device")
    shared = {"training": training, "paper_training": profile.paper_training, "n_jobs": arguments.n_jobs}
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir, n_samples=arguments.n_samples)
        configs = {}
        if n_configs:
            trials = arguments.output.with_name(f"{arguments.output.stem}-search.csv")
            configs = search(data, bits, arguments.methods, seeds, n_configs, trials, **shared)
        results = compare(data, bits, arguments.methods, seeds, arguments.output, configs=configs, **shared)
    print_failures(results, KEY)
    print(f"{results['error'].count()} of {len(results)} cells measured, in {arguments.output}.")
    print(f"The tables and plots: python -m benchmarks.paper.report {arguments.output}")


if __name__ == "__main__":
    main()
