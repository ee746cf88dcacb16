"""The reviewed table: what is known of calls into Python's library, NumPy, pandas and SciPy.

Everything in it reads nothing but its arguments and files, changes nothing but what is said here, and
gives the same for the same arguments. What isn't in it is unknown. The words that stand before the names
say what a call returns:

    number, text, bytes, none   immutable
    array                       an array of its own, of numbers
    filled                      an array or a table of its own, which may hold what is in the arguments
    own                         something of its own, which refers to nothing else that can change
    list, dict, set, tuple, new a thing of its own, which may hold the arguments or parts of them
    part                        perhaps an argument, or a part of one
    file, iterator, random      something with a position, which only its owner can use
    path, context, range        what it says

A name with a `!` calls functions that are among its arguments; one with a `~` changes its first argument.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, NamedTuple

from clustrix_core.loops.source import is_library, module_of


class Known(NamedTuple):
    """What is known of a call.

    Attributes:
        result: the word of the table.
        calls: whether it calls functions among its arguments.
        changes: whether it changes its first argument; a method, the object that it is called on.
    """

    result: str
    calls: bool = False
    changes: bool = False


IMMUTABLE = frozenset({"number", "text", "bytes", "none"})

_FUNCTIONS: dict[str, dict[str, str]] = {
    "builtins": {
        "number": "abs all any bool complex divmod float hash int isinstance issubclass len ord round "
        "callable",
        "text": "ascii bin chr format hex oct repr str",
        "bytes": "bytes",
        "own": "bytearray object",
        "range": "range",
        "list": "list sorted!",
        "dict": "dict",
        "set": "set frozenset",
        "tuple": "tuple",
        "new": "pow sum slice",
        "iterator": "enumerate zip map! filter! reversed iter",
        "part": "getattr max! min! next~ super memoryview type",
        "none": "print",
    },
    "math": {"number": "*", "tuple": "frexp modf"},
    "cmath": {"number": "*"},
    "operator": {
        "new": "add sub mul truediv floordiv mod pow neg pos matmul and_ or_ xor eq ne lt le gt ge not_ "
        "truth contains abs index inv invert lshift rshift concat countOf indexOf itemgetter attrgetter",
        "part": "getitem",
    },
    "statistics": {
        "number": "mean fmean geometric_mean harmonic_mean median median_low median_high median_grouped "
        "stdev pstdev variance pvariance covariance correlation linear_regression",
        "part": "mode",
        "list": "multimode quantiles",
    },
    "itertools": {
        "iterator": "accumulate! batched chain chain.from_iterable combinations "
        "combinations_with_replacement compress count cycle dropwhile! filterfalse! groupby! islice "
        "pairwise permutations product repeat starmap! takewhile! zip_longest",
    },
    "functools": {"part": "reduce!", "new": "partial!"},
    "collections": {"dict": "OrderedDict Counter defaultdict!", "list": "deque", "part": "ChainMap"},
    "fractions": {"number": "Fraction"},
    "decimal": {"number": "Decimal"},
    "datetime": {
        "own": "date datetime time timedelta timezone datetime.strptime datetime.fromisoformat "
        "datetime.fromtimestamp datetime.combine date.fromisoformat date.fromordinal date.fromtimestamp "
        "datetime.fromordinal"
    },
    "re": {
        "own": "compile findall finditer fullmatch match search split",
        "text": "sub! escape",
        "tuple": "subn!",
    },
    "json": {"own": "load~ loads", "text": "dumps!"},
    "csv": {"iterator": "reader DictReader"},
    "string": {"new": "Template", "text": "capwords"},
    "textwrap": {"text": "dedent fill indent shorten", "list": "wrap"},
    "copy": {"own": "deepcopy", "new": "copy"},
    "hashlib": {"own": "md5 sha1 sha224 sha256 sha384 sha512 blake2b blake2s new"},
    "zlib": {"bytes": "compress decompress", "number": "adler32 crc32"},
    "base64": {"bytes": "b64decode b64encode"},
    "struct": {"bytes": "pack", "tuple": "unpack", "number": "calcsize"},
    "bisect": {"number": "bisect bisect_left bisect_right", "none": "insort~ insort_left~ insort_right~"},
    "heapq": {
        "none": "heapify~ heappush~",
        "part": "heappop~ heappushpop~ heapreplace~",
        "list": "nlargest! nsmallest!",
        "iterator": "merge!",
    },
    "random": {"random": "Random"},
    "io": {"file": "StringIO BytesIO"},
    "os": {"text": "fspath", "list": "listdir", "own": "stat walk"},
    "posixpath": {
        "text": "abspath basename commonpath dirname expanduser join normpath realpath relpath",
        "tuple": "split splitext",
        "number": "exists getmtime getsize isabs isdir isfile islink",
    },
    "glob": {"list": "glob", "iterator": "iglob", "text": "escape"},
    "fnmatch": {"number": "fnmatch fnmatchcase", "list": "filter"},
    "pathlib": {"path": "Path PosixPath PurePath PurePosixPath"},
    "contextlib": {"context": "suppress", "part": "nullcontext"},
    "types": {"new": "SimpleNamespace"},
    "typing": {"part": "cast"},
    "uuid": {"own": "UUID uuid3 uuid5"},
    "unicodedata": {"text": "normalize name category"},
    "difflib": {"new": "SequenceMatcher", "own": "get_close_matches ndiff unified_diff"},
    "clustrix_core.functions": {
        "own": "cluster_ls cluster_find! cluster_stat cluster_exists cluster_isdir cluster_isfile "
        "cluster_glob! cluster_du! cluster_count_files! cluster_readlink"
    },
    "numpy": {
        "array": "absolute add all allclose angle any arange arccos arccosh arcsin arcsinh arctan arctan2 "
        "arctanh argmax argmin argpartition argsort argwhere average bartlett bincount blackman ceil "
        "conj convolve copysign corrcoef correlate cos cosh count_nonzero cov cross cumprod cumsum "
        "deg2rad degrees diff digitize divide divmod dot ediff1d einsum empty empty_like equal exp exp2 "
        "expm1 eye fabs fix flatnonzero float_power floor floor_divide fmod gcd geomspace gradient "
        "greater greater_equal hamming hanning heaviside histogram histogram2d histogramdd hypot "
        "identity indices inner interp invert isclose isfinite isin isinf isnan kaiser kron lcm ldexp "
        "less less_equal lexsort linspace log log10 log1p log2 logaddexp logaddexp2 logical_and "
        "logical_not logical_or logical_xor logspace matmul mean median mod multiply nanargmax "
        "nanargmin nancumsum nanmean nanmedian nanpercentile nanprod nanquantile nanstd nansum nanvar "
        "negative nonzero not_equal ones ones_like outer packbits percentile polyfit polyval positive "
        "power prod ptp quantile rad2deg radians reciprocal remainder rint searchsorted sign signbit "
        "sin sinc sinh spacing sqrt square std subtract sum tan tanh tensordot trace trapezoid trapz "
        "tri tril tril_indices triu triu_indices true_divide trunc unpackbits unravel_index vander var "
        "vdot vecdot zeros zeros_like loadtxt genfromtxt fromstring load array_equal isscalar "
        "issubdtype isreal iscomplex bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
        "float16 float32 float64 complex64 complex128 intp longdouble cbrt bitwise_and bitwise_or "
        "bitwise_xor bitwise_not left_shift right_shift abs pow",
        "filled": "append array concatenate concat stack hstack vstack dstack column_stack full full_like "
        "insert repeat tile where select pad resize delete roll take extract sort unique union1d "
        "intersect1d setdiff1d setxor1d max min amax amin maximum minimum fmax fmin meshgrid nanmax "
        "nanmin clip apply_along_axis! piecewise! fromfunction! copy block choose compress around round",
        "part": "array_split asarray frombuffer ascontiguousarray atleast_1d atleast_2d atleast_3d "
        "broadcast_to broadcast_arrays diag diagonal dsplit expand_dims flip fliplr flipud hsplit imag "
        "moveaxis ravel real reshape rot90 trim_zeros rollaxis split squeeze swapaxes transpose vsplit "
        "ndenumerate ndindex nditer poly1d",
        "own": "dtype finfo iinfo",
        "context": "errstate printoptions",
        "none": "copyto~ fill_diagonal~ put~ putmask~ place~",
        "new": "vectorize!",
        "text": "array2string array_repr array_str base_repr binary_repr",
    },
    "numpy.linalg": {"array": "*", "part": "diagonal matrix_power matrix_transpose"},
    "numpy.fft": {"array": "*", "part": "fft2 fftn ifft2 ifftn"},
    "numpy.polynomial": {"own": "Polynomial Chebyshev Legendre"},
    "numpy.random": {"random": "default_rng SeedSequence RandomState Generator PCG64 MT19937 Philox SFC64"},
    "numpy.lib.stride_tricks": {"part": "sliding_window_view"},
    "pandas": {
        "new": "DataFrame Series Index MultiIndex Categorical concat merge merge_asof crosstab pivot_table "
        "cut qcut get_dummies melt factorize unique isna isnull notna notnull date_range period_range "
        "timedelta_range Timestamp Timedelta Period Interval json_normalize NamedAgg",
        "part": "to_numeric to_datetime to_timedelta",
        "own": "read_csv read_table read_fwf read_json read_parquet read_feather read_excel read_pickle",
    },
    "scipy.special": {"array": "*"},
    "scipy.linalg": {"array": "*", "part": "cho_factor hessenberg"},
    "scipy.fft": {
        "array": "fft ifft rfft irfft fft2 ifft2 fftn ifftn fftfreq rfftfreq dct idct dst idst next_fast_len"
    },
    "scipy.fftpack": {"array": "fft ifft rfft irfft fft2 ifft2 dct idct fftfreq"},
    "scipy.ndimage": {
        "array": "affine_transform binary_closing binary_dilation binary_erosion binary_fill_holes "
        "binary_opening center_of_mass convolve convolve1d correlate distance_transform_edt extrema "
        "find_objects gaussian_filter gaussian_filter1d gaussian_gradient_magnitude gaussian_laplace "
        "generate_binary_structure generic_filter! grey_closing grey_dilation grey_erosion grey_opening "
        "histogram label laplace labeled_comprehension! map_coordinates maximum maximum_filter "
        "maximum_position mean median median_filter minimum minimum_filter minimum_position "
        "percentile_filter prewitt rank_filter rotate shift sobel standard_deviation sum sum_labels "
        "uniform_filter uniform_filter1d variance watershed_ift white_tophat zoom",
    },
    "scipy.signal": {
        "array": "bessel bilinear butter cheby1 cheby2 chirp coherence convolve correlate correlation_lags "
        "csd decimate detrend ellip fftconvolve filtfilt find_peaks firwin freqz gausspulse "
        "hilbert iirfilter iirnotch istft lfilter lfilter_zi lombscargle medfilt medfilt2d oaconvolve "
        "peak_prominences peak_widths periodogram resample resample_poly savgol_filter sawtooth sosfilt "
        "sosfiltfilt sosfreqz spectrogram square stft argrelextrema! argrelmax argrelmin welch wiener "
        "find_peaks_cwt",
        "part": "deconvolve",
    },
    "scipy.stats": {
        "own": "anderson ansari bartlett brunnermunzel chi2_contingency chisquare describe energy_distance "
        "entropy f_oneway fisher_exact fligner friedmanchisquare gmean hmean iqr kendalltau kruskal "
        "ks_1samp! ks_2samp kstest! kurtosis kurtosistest levene linregress mannwhitneyu "
        "median_abs_deviation mode moment mood normaltest pearsonr percentileofscore pointbiserialr "
        "rankdata ranksums sem "
        "shapiro siegelslopes skew skewtest spearmanr theilslopes tmean trim_mean ttest_1samp ttest_ind "
        "ttest_rel variation wasserstein_distance wilcoxon zscore jarque_bera binomtest boxcox",
    },
    "scipy.optimize": {
        "own": "approx_fprime! bisect! brenth! brentq! curve_fit! fmin! "
        "fmin_bfgs! fmin_cg! fmin_l_bfgs_b! fmin_powell! fsolve! least_squares! leastsq! "
        "linear_sum_assignment linprog lsq_linear minimize! minimize_scalar! newton! nnls ridder! root! "
        "root_scalar! toms748! brent! golden! brute!",
    },
    "scipy.integrate": {
        "own": "cumulative_simpson cumulative_trapezoid dblquad! fixed_quad! nquad! odeint! quad! quad_vec! "
        "romb simpson solve_bvp! solve_ivp! tplquad! trapezoid",
    },
    "scipy.interpolate": {
        "new": "Akima1DInterpolator BSpline CubicSpline InterpolatedUnivariateSpline LSQUnivariateSpline "
        "PchipInterpolator RBFInterpolator RegularGridInterpolator RectBivariateSpline UnivariateSpline "
        "griddata interp1d interpn make_interp_spline splev splrep pchip_interpolate",
    },
    "scipy.spatial": {"new": "ConvexHull Delaunay KDTree cKDTree Voronoi procrustes"},
    "scipy.spatial.distance": {
        "array": "braycurtis canberra cdist! chebyshev cityblock correlation cosine euclidean hamming "
        "jaccard mahalanobis minkowski pdist! sqeuclidean squareform"
    },
    "scipy.cluster.hierarchy": {"array": "cophenet fcluster linkage"},
    "scipy.sparse": {
        "part": "bmat coo_matrix csc_matrix csr_matrix coo_array csc_array csr_array diags eye hstack "
        "vstack identity"
    },
    "scipy.sparse.linalg": {"own": "spsolve"},
}

_RANDOM = (
    "beta binomial bytes chisquare choice dirichlet exponential f gamma geometric gumbel hypergeometric "
    "integers "
    "laplace logistic lognormal logseries multinomial multivariate_normal negative_binomial normal pareto "
    "permutation permuted poisson power random rayleigh standard_cauchy standard_exponential standard_gamma "
    "standard_normal standard_t triangular uniform vonmises wald weibull zipf randint rand randn "
    "random_sample "
    "gauss betavariate expovariate gammavariate getrandbits lognormvariate normalvariate paretovariate "
    "randbytes "
    "randrange vonmisesvariate weibullvariate spawn"
)

_METHODS: dict[str, str] = {
    # Of text, numbers, dates, patterns and paths.
    "text": "capitalize casefold center expandtabs format format_map join ljust lower lstrip removeprefix "
    "removesuffix replace! rjust rstrip strip swapcase title translate upper zfill decode hex hexdigest "
    "isoformat strftime as_posix read_text sub! expand to_string ctime as_uri",
    "bytes": "encode to_bytes read_bytes digest tobytes",
    "number": "bit_count bit_length count endswith find index is_integer isalnum isalpha isascii "
    "isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper rfind rindex "
    "startswith isdisjoint issubset issuperset date exists is_absolute is_dir is_file is_symlink "
    "is_relative_to match end start total_seconds timestamp toordinal weekday isoweekday item "
    "as_integer_ratio hour lcm ratio quantize",
    "list": "partition rpartition split rsplit splitlines groups span readlines~ tolist to_list "
    "most_common fromkeys",
    "dict": "to_dict",
    "own": "astimezone timetuple isocalendar utcoffset groupdict findall finditer fullmatch search "
    "absolute expanduser joinpath iterdir glob! rglob! relative_to resolve stat walk with_name with_stem "
    "with_suffix hexversion elements",
    "part": "get group keys values items",
    "new": "copy union intersection difference symmetric_difference",
    # Of arrays and tables.
    "array": "all any argmax argmin argpartition argsort between corr corrwith count cov cdf cumcount "
    "duplicated eq fit floordiv ge gt isf isin isna isnull kurt le logcdf logpdf lt mad mean memory_usage "
    "mod ne nonzero notna notnull nunique pct_change pdf pmf ppf ptp quantile rank round searchsorted sem "
    "sf skew std todense toarray trace var",
    "filled": "cumprod cumsum dot max min prod repeat sum take abs apply! applymap! agg! aggregate! "
    "assign! bfill combine_first cummax cummin describe diff div divide drop drop_duplicates dropna ewm "
    "expanding explode ffill fillna idxmax idxmin interpolate join map! median melt merge mode mul "
    "multiply nlargest nsmallest pivot pivot_table pow radd reindex rename! reset_index rolling set_index "
    "shift size sort_index sort_values stack sub transform! truediv unique unstack value_counts where "
    "to_records resample dt tail_sum filter! get_group flatten",
    "view": "astype clip conjugate ravel reshape squeeze swapaxes transpose diagonal view head tail groupby! "
    "iterrows itertuples to_frame pipe! loc to_numpy xs",
    # Those that change what they are called on.
    "none~": "append appendleft extend extendleft insert add update discard remove clear reverse sort! "
    "fill close rotate subtract_ resize put setflags itemset writelines flush shuffle seed setstate",
    "part~": "pop popleft popitem setdefault setdefault_ getvalue",
    "number~": "write seek tell",
    "text~": "read readline",
    "own~": _RANDOM,
}

# These tell which files there are, and how they are.
LOOKS = frozenset({
    "exists", "is_file", "is_dir", "isfile", "isdir", "islink", "stat", "lexists", "is_symlink", "getmtime",
    "getsize", "realpath", "resolve", "glob", "iglob", "rglob", "listdir", "iterdir", "walk", "cluster_ls",
    "cluster_find", "cluster_stat", "cluster_exists", "cluster_isdir", "cluster_isfile", "cluster_glob",
    "cluster_du", "cluster_count_files", "cluster_readlink",
})  # fmt: skip

# What is known to be in the way, and why.
IN_THE_WAY: dict[str, tuple[str, str]] = {
    "random": ("random-state", "draws from the one generator that all iterations share"),
    "numpy.random": ("random-state", "draws from the one generator that all iterations share"),
    "time": ("clock", "depends on when it is called"),
    "threading": ("concurrency", "works with threads of its own"),
    "multiprocessing": ("concurrency", "works with processes of its own"),
    "subprocess": ("world", "runs another program"),
    "socket": ("world", "talks to other machines"),
    "urllib": ("world", "talks to other machines"),
    "requests": ("world", "talks to other machines"),
    "shutil": ("writes-files", "changes files"),
    "os": ("world", "reads or changes this process or its files"),
    "sys": ("world", "reads or changes this process"),
    "gc": ("identity", "looks at objects from outside"),
    "weakref": ("identity", "looks at objects from outside"),
    "inspect": ("dynamic-code", "looks at the running code"),
}

NAMED_IN_THE_WAY: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("builtins.eval", "builtins.exec", "builtins.compile", "builtins.globals", "builtins.locals",
         "builtins.vars", "builtins.dir", "builtins.__import__", "importlib.import_module",
         "builtins.breakpoint"),
        ("dynamic-code", "can reach everything"),
    ),
    "builtins.setattr": ("mutates-shared", "changes an object"),
    "builtins.delattr": ("mutates-shared", "changes an object"),
    "builtins.input": ("world", "waits for the user"),
    "builtins.id": ("identity", "tells objects apart that are equal"),
    "datetime.datetime.now": ("clock", "depends on when it is called"),
    "datetime.datetime.today": ("clock", "depends on when it is called"),
    "datetime.datetime.utcnow": ("clock", "depends on when it is called"),
    "datetime.date.today": ("clock", "depends on when it is called"),
    "uuid.uuid1": ("random-state", "differs at every call"),
    "uuid.uuid4": ("random-state", "differs at every call"),
}  # fmt: skip

# Functions that write a file, and the place of its path among the arguments.
WRITERS = {"numpy.save": 0, "numpy.savetxt": 0, "numpy.savez": 0, "numpy.savez_compressed": 0}
WRITING_METHODS = {"to_csv": 0, "to_json": 0, "to_pickle": 0}
WRITING_OF_PATHS = frozenset({"write_text", "write_bytes"})

# These are told by their argument what to draw.
SEEDED = frozenset(
    {
        "default_rng",
        "Generator",
        "Random",
        "RandomState",
        "SeedSequence",
        "PCG64",
        "MT19937",
        "Philox",
        "SFC64",
    }
)


def _entries(groups: dict[str, str]) -> dict[str, Known]:
    found = {}
    for word, names in groups.items():
        for name in names.split():
            bare = name.rstrip("!~")
            found[bare] = Known(word.rstrip("~"), "!" in name, "~" in name or word.endswith("~"))
    return found


FUNCTIONS = {module: _entries(groups) for module, groups in _FUNCTIONS.items()}
METHODS = _entries(_METHODS)


def is_changing(name: str) -> bool:
    """Whether an attribute may be a method that changes what it is of: whoever gets it may call it."""
    return name in METHODS and METHODS[name].changes


_LEFT_OUT = {
    "numpy.linalg": frozenset({"LinAlgError"}),
    "scipy.special": frozenset({"seterr", "geterr", "errstate"}),
    "scipy.linalg": frozenset(
        {
            "LinAlgError",
            "LinAlgWarning",
            "clarkson_woodruff_transform",
            "expm_cond",
            "fractional_matrix_power",
            "funm",
            "logm",
            "ordqz",
            "qz",
            "schur",
            "signm",
        }
    ),
}

# Functions that open files, as `open` does.
OPENING = frozenset({
    ("gzip", "open"), ("bz2", "open"), ("lzma", "open"), ("_io", "open"),
    ("clustrix_core.functions", "cluster_open"),
})  # fmt: skip

# The places of the arrays into which results are written, where the functions themselves don't tell.
OUTPUT_PLACES = {"dot": 2, "concatenate": 2, "take": 3, "vdot": 2}
METHOD_OUTPUTS = {
    "all": 1, "any": 1, "argmax": 1, "argmin": 1, "clip": 2, "conjugate": 0, "cumprod": 2, "cumsum": 2,
    "dot": 1, "max": 1, "mean": 2,
    "min": 1, "prod": 2, "ptp": 1, "round": 1, "std": 2, "sum": 2, "take": 2, "trace": 4, "var": 2,
    "random": 2,
    "standard_normal": 2, "standard_exponential": 3, "standard_gamma": 3,
}  # fmt: skip

# Names of arguments that are called.
CALLED_KEYWORDS = frozenset({
    "key", "func", "fun", "jac", "hess", "aggfunc", "repl", "callback", "converters", "date_parser",
    "object_hook",
    "object_pairs_hook", "parse_float", "parse_int", "parse_constant", "events",
})  # fmt: skip
_CALLED_AT = {
    "accumulate": (1,), "groupby": (1,), "sub": (1,), "subn": (1,), "cdist": (2,), "pdist": (1,),
    "reduce": (0,),
    "generic_filter": (1,), "labeled_comprehension": (3,), "argrelextrema": (1,), "merge": (),
    **dict.fromkeys(("max", "min", "sorted", "sort", "nlargest", "nsmallest", "dumps"), ()),
    **dict.fromkeys(("cluster_find", "cluster_glob", "cluster_du", "cluster_count_files", "brute"), ()),
}  # fmt: skip


def callables(name: str, given: list[Any]) -> list[Any]:
    """Of arguments by place, those that are called."""
    return [given[place] for place in _CALLED_AT.get(name, (0,)) if place < len(given)]


_index: dict[object, tuple[str, str, Known]] = {}
_alive: list[Any] = []  # so that nothing else gets their addresses
_indexed: set[str] = set()


def _key(value: Any) -> object:
    """What tells a function; a method of a class is another object each time that it is looked up."""
    owner = getattr(value, "__self__", None)
    return (id(owner), value.__name__) if isinstance(owner, type) else id(value)


def _look_into(module: str) -> None:
    found = sys.modules[module]
    _indexed.add(module)
    entries = FUNCTIONS[module]
    if "*" in entries:
        left_out = _LEFT_OUT.get(module, frozenset())
        names = [n for n in dir(found) if not n.startswith("_") and n not in left_out | {"test"}]
        everything = dict.fromkeys(names, entries["*"])
        entries = {**everything, **entries}
    for name, known in entries.items():
        value: Any = found
        for part in name.split("."):
            value = getattr(value, part, None)
        if name != "*" and callable(value) and _is_librarys(value):
            _index.setdefault(_key(value), (module, name, known))
            _alive.append(value)


def _is_librarys(value: Any) -> bool:
    """Whether a function is a library's own, and nobody has put another in its place."""
    if isinstance(value, FunctionType) and not is_library(value.__globals__.get("__name__", "")):
        return False
    kind = value if isinstance(value, type) else type(value)
    module = module_of(kind)
    if module.startswith("_cython"):  # the type of Cython's functions
        module = value.__module__ or ""
    return is_library(module) and not module.startswith("unittest")


def known_function(value: Any) -> tuple[str, str, Known] | None:
    """Where a function or class stands in the table: the module, the name there, and what is known of it."""
    for module in FUNCTIONS:
        if module not in _indexed and module in sys.modules:
            _look_into(module)
    return _index.get(_key(value))


def in_the_way(module: str, name: str) -> tuple[str, str] | None:
    """Why a function that is known can't be called in a split loop: a code, and a reason."""
    module = {"posix": "os", "nt": "os", "_io": "io"}.get(module, module)
    root = module.partition(".")[0]
    return (
        NAMED_IN_THE_WAY.get(f"{module}.{name}")
        or IN_THE_WAY.get("numpy.random" if module.startswith("numpy.random") else module)
        or IN_THE_WAY.get(root)
    )
