"""Forty-three loops as researchers write them, on data small enough to run in a test.

They are written as such code is written, not as an analysis would like it. What is expected of each is what is true:
it is split, or the iterations do depend on each other.
"""

import glob
import itertools
import json
import math
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from loops_cases import EITHER, INSIDE, SPLIT, Case, registry
from scipy import integrate, ndimage, optimize, signal, stats
from scipy.integrate import odeint
from scipy.optimize import curve_fit

CASES: dict[str, Case] = {}
research = registry(CASES)

R_EARTH = 6371.0
KB = 8.617e-5


# --- The data ---------------------------------------------------------------------------------------------------------


def csv_runs(here):
    rng = np.random.default_rng(1)
    os.makedirs(here / "runs")
    for i in range(5):
        df = pd.DataFrame({"t": np.arange(20), "x": rng.normal(i, 1, 20), "y": rng.normal(0, 2, 20)})
        df.to_csv(here / "runs" / f"run_{i:02d}.csv", index=False)
    return (str(here / "runs"),)


def npy_images(here):
    rng = np.random.default_rng(2)
    os.makedirs(here / "raw")
    os.makedirs(here / "clean")
    for i in range(4):
        np.save(here / "raw" / f"img{i}.npy", rng.poisson(20, (16, 16)).astype(float))
    return here / "raw", here / "clean"


def vasp_logs(here):
    os.makedirs(here / "logs")
    for i in range(4):
        lines = [f"step {s}  Energy = {-10 - i - s / 7:.6f}" for s in range(5)]
        (here / "logs" / f"job{i}.log").write_text("header\n" + "\n".join(lines) + "\n")
    (here / "logs" / "job9.log").write_text("header\nkilled\n")
    return (here / "logs",)


def json_configs(here):
    os.makedirs(here / "configs")
    for i in range(4):
        (here / "configs" / f"c{i}.json").write_text(json.dumps({"r": 2.5 + 0.3 * i, "x0": 0.2, "n": 50}))
    return (str(here / "configs"),)


def texts(here):
    os.makedirs(here / "texts")
    for i, text in enumerate(
        ["The cat sat on the mat. The mat!", "To be or not to be", "a rose is a rose is a rose"]
    ):
        (here / "texts" / f"doc{i}.txt").write_text(text)
    return (str(here / "texts"),)


def fasta(here):
    rng = np.random.default_rng(3)
    with open(here / "seqs.fa", "w") as f:
        for i in range(6):
            f.write(f">seq{i}\n" + "".join(rng.choice(list("ACGT"), 60)) + "\n")
    return (here / "seqs.fa",)


def penguins(here=None):
    rng = np.random.default_rng(4)
    return (
        pd.DataFrame(
            {
                "species": rng.choice(["Adelie", "Gentoo", "Chinstrap"], 60),
                "mass": rng.normal(4000, 500, 60),
                "bill": rng.normal(44, 5, 60),
            }
        ),
    )


def signals(here=None):
    rng = np.random.default_rng(5)
    t = np.arange(512) / 256
    return np.array([np.sin(2 * np.pi * f * t) + rng.normal(0, 0.3, 512) for f in (5, 10, 20, 40)]), 256


def expression(here=None):
    rng = np.random.default_rng(6)
    columns = [f"ctl{i}" for i in range(5)] + [f"trt{i}" for i in range(5)]
    return (pd.DataFrame(rng.normal(8, 1, (12, 10)), index=[f"gene{i}" for i in range(12)], columns=columns),)


def stack(here=None):
    rng = np.random.default_rng(7)
    return (rng.random((5, 24, 24)),)


def decays(here=None):
    rng = np.random.default_rng(8)
    t = np.linspace(0, 5, 40)
    curves = {f"s{i}": (1 + i) * np.exp(-t * (0.5 + 0.2 * i)) + rng.normal(0, 0.01, 40) for i in range(4)}
    curves["flat"] = np.full(40, np.nan)
    return t, curves


def stations(here=None):
    rng = np.random.default_rng(9)
    return (
        pd.DataFrame({"name": list("abcdef"), "lat": rng.uniform(40, 60, 6), "lon": rng.uniform(0, 20, 6)}),
    )


def temperatures(here=None):
    rng = np.random.default_rng(10)
    years = np.repeat(np.arange(1990, 1998), 12)
    return (
        pd.DataFrame({"year": years, "month": np.tile(np.arange(1, 13), 8), "temp": rng.normal(10, 5, 96)}),
    )


# --- Tables and files -------------------------------------------------------------------------------------------------


@research(SPLIT, args=csv_runs)
def summarise_runs(folder):
    results = []
    for path in sorted(glob.glob(os.path.join(folder, "*.csv"))):
        df = pd.read_csv(path)
        results.append(
            {
                "file": os.path.basename(path),
                "mean_x": df["x"].mean(),
                "std_x": df["x"].std(),
                "corr": df["x"].corr(df["y"]),
                "n": len(df),
            }
        )
    return pd.DataFrame(results)


@research(SPLIT, args=csv_runs)
def combine_runs(folder):
    frames = []
    for f in sorted(os.listdir(folder)):
        if not f.endswith(".csv"):
            continue
        df = pd.read_csv(os.path.join(folder, f))
        df["source"] = f.replace(".csv", "")
        df["x_norm"] = (df["x"] - df["x"].min()) / (df["x"].max() - df["x"].min())
        df = df[df["x_norm"] > 0.1]
        frames.append(df)
    return pd.concat(frames, ignore_index=True)


@research(SPLIT, args=penguins)
def species_table(df):
    rows = []
    for species, group in df.groupby("species"):
        slope, intercept, r, p, se = stats.linregress(group["bill"], group["mass"])
        rows.append([species, len(group), group["mass"].mean(), slope, r**2, p])
    return pd.DataFrame(rows, columns=["species", "n", "mass", "slope", "r2", "p"])


@research(SPLIT, INSIDE, args=vasp_logs)
def collect_energies(folder):
    energies = {}
    for path in sorted(folder.glob("*.log")):
        energy = None
        with open(path) as fh:
            for line in fh:
                if "Energy" in line:
                    energy = float(line.split("=")[1])
        if energy is None:
            print("no energy in", path.name)
            continue
        energies[path.stem] = energy
    return energies


@research(SPLIT, args=json_configs)
def run_configs(folder):
    out = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as f:
            params = json.load(f)
        x = logistic_map(**params)
        out.append((name, float(np.mean(x)), float(np.std(x))))
    return out


def logistic_map(r, x0, n):
    x = np.empty(n)
    x[0] = x0
    for i in range(1, n):
        x[i] = r * x[i - 1] * (1 - x[i - 1])
    return x


@research(SPLIT, args=texts)
def frequent_words(folder):
    docs = {}
    for path in sorted(Path(folder).iterdir()):
        words = re.findall(r"[a-z]+", path.read_text().lower())
        docs[path.stem] = Counter(words).most_common(3)
    return docs


@research(SPLIT, INSIDE, args=fasta)
def gc_content(path):
    with open(path) as f:
        records = f.read().split(">")[1:]
    gc = {}
    for record in records:
        header, *lines = record.strip().split("\n")
        seq = "".join(line.strip().upper() for line in lines)
        gc[header] = (seq.count("G") + seq.count("C")) / len(seq) * 100
    return gc


@research(EITHER, "carried", args=fasta)
def count_kmers(path, k=3):
    seq = "".join(line.strip() for line in open(path) if not line.startswith(">"))
    counts = {}
    for i in range(len(seq) - k + 1):
        kmer = seq[i : i + k]
        counts[kmer] = counts.get(kmer, 0) + 1
    return counts


@research(SPLIT, args=temperatures)
def annual_means(df):
    years, means, anomalies = [], [], []
    baseline = df["temp"].mean()
    for year in sorted(df["year"].unique()):
        sel = df[(df["year"] == year) & (df["month"] != 2)]
        years.append(int(year))
        means.append(sel["temp"].mean())
        anomalies.append(sel["temp"].mean() - baseline)
    return pd.DataFrame({"year": years, "mean": means, "anomaly": anomalies})


@research(SPLIT, args=stations)
def distances_from(df, lat0=50.0, lon0=8.0):
    dists = []
    for idx, row in df.iterrows():
        dists.append(haversine(lat0, lon0, row["lat"], row["lon"]))
    df["dist"] = dists
    return df.sort_values("dist")


def haversine(lat1, lon1, lat2, lon2):
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    dphi = phi2 - phi1
    dlam = math.radians(lon2 - lon1)
    a = math.sin(dphi / 2) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin(dlam / 2) ** 2
    return 2 * R_EARTH * math.asin(math.sqrt(a))


@research("carried", args=temperatures)
def flag_outliers(df):
    df["z"] = 0.0
    for i in df.index:
        sel = df[df["month"] == df.at[i, "month"]]["temp"]
        df.at[i, "z"] = (df.at[i, "temp"] - sel.mean()) / sel.std()
    return df


# --- Images and signals -----------------------------------------------------------------------------------------------


@research(SPLIT, args=stack)
def count_nuclei(stack):
    counts = []
    areas = []
    for frame in stack:
        smooth = ndimage.gaussian_filter(frame, sigma=1)
        mask = smooth > smooth.mean() + 0.5 * smooth.std()
        labels, n = ndimage.label(mask)
        sizes = ndimage.sum(mask, labels, range(1, n + 1))
        counts.append(n)
        areas.append(np.median(sizes))
    return counts, areas


@research(SPLIT, args=npy_images)
def clean_images(raw, clean):
    for path in sorted(raw.glob("*.npy")):
        img = np.load(path)
        background = ndimage.median_filter(img, size=5)
        img -= background
        img[img < 0] = 0
        np.save(clean / f"{path.stem}_clean.npy", img)


@research(SPLIT, args=signals)
def power_spectra(eeg, fs):
    n_channels = eeg.shape[0]
    psd = np.zeros((n_channels, 65))
    for ch in range(n_channels):
        f, p = signal.welch(eeg[ch], fs=fs, nperseg=128)
        psd[ch] = p
    return psd


@research(SPLIT, args=signals)
def spike_counts(traces, fs):
    summary = []
    for i, trace in enumerate(traces):
        b, a = signal.butter(3, 60 / (fs / 2))
        filtered = signal.filtfilt(b, a, trace)
        peaks, props = signal.find_peaks(filtered, height=0.5, distance=5)
        rate = len(peaks) / (len(trace) / fs)
        summary.append(dict(channel=i, n=len(peaks), rate=rate, height=props["peak_heights"].mean()))
    return pd.DataFrame(summary)


@research(SPLIT, args=signals)
def best_periods(fluxes, fs):
    t = np.arange(fluxes.shape[1]) / fs
    freqs = np.linspace(1, 300, 200)
    periods = np.zeros(len(fluxes))
    for k in range(len(fluxes)):
        y = fluxes[k] - fluxes[k].mean()
        power = signal.lombscargle(t, y, freqs)
        periods[k] = 2 * np.pi / freqs[np.argmax(power)]
    return periods


@research(SPLIT, INSIDE, INSIDE, args=lambda here: (12, 16, 40))
def mandelbrot(h, w, max_iter):
    img = np.zeros((h, w), dtype=int)
    for row in range(h):
        for col in range(w):
            c = complex(-2 + 3 * col / w, -1.5 + 3 * row / h)
            z = 0
            n = 0
            while abs(z) <= 2 and n < max_iter:
                z = z * z + c
                n += 1
            img[row, col] = n
    return img


@research(SPLIT, args=lambda here: (np.random.default_rng(11).integers(0, 255, (4, 10, 10)),))
def total_histogram(frames):
    bins = np.arange(0, 256, 16)
    hist = np.zeros(len(bins) - 1)
    for frame in frames:
        hist += np.histogram(frame, bins=bins)[0]
    return hist / hist.sum()


# --- Fits and statistics ----------------------------------------------------------------------------------------------


def exponential(t, a, k, c):
    return a * np.exp(-k * t) + c


@research(SPLIT, args=decays)
def fit_decays(t, curves):
    fits = {}
    failed = []
    for name, y in curves.items():
        try:
            popt, pcov = curve_fit(exponential, t, y, p0=[1, 1, 0])
        except (RuntimeError, ValueError) as e:
            failed.append((name, type(e).__name__))
            continue
        perr = np.sqrt(np.diag(pcov))
        fits[name] = {"k": popt[1], "k_err": perr[1], "half_life": np.log(2) / popt[1]}
    return fits, failed


@research(EITHER, EITHER, SPLIT, args=expression)
def differential_expression(expr):
    control = [c for c in expr.columns if c.startswith("ctl")]
    treated = [c for c in expr.columns if c.startswith("trt")]
    rows = []
    for gene in expr.index:
        a = expr.loc[gene, control].values
        b = expr.loc[gene, treated].values
        t, p = stats.ttest_ind(a, b, equal_var=False)
        rows.append((gene, b.mean() - a.mean(), t, p))
    table = pd.DataFrame(rows, columns=["gene", "lfc", "t", "p"])
    return table.sort_values("p").reset_index(drop=True)


@research(SPLIT, args=lambda here: (np.arange(60.0), np.sin(np.arange(60.0) / 7), 10))
def rolling_slopes(x, y, window):
    slopes = np.full(len(x), np.nan)
    for start in range(len(x) - window):
        res = stats.linregress(x[start : start + window], y[start : start + window])
        slopes[start + window // 2] = res.slope
    return slopes


@research(
    SPLIT, INSIDE, args=lambda here: (np.random.default_rng(12).normal(0, 1, (40, 3)), np.arange(40) % 7, 5)
)
def cross_validate(X, y, k):
    folds = np.array_split(np.arange(len(X)), k)
    scores = []
    for i in range(k):
        test = folds[i]
        train = np.concatenate([folds[j] for j in range(k) if j != i])
        w = np.linalg.solve(X[train].T @ X[train] + 0.1 * np.eye(X.shape[1]), X[train].T @ y[train])
        pred = X[test] @ w
        scores.append(np.mean((pred - y[test]) ** 2))
    return np.mean(scores), np.std(scores)


@research(SPLIT, args=lambda here: (np.random.default_rng(13).normal(1, 2, 50), 20))
def bootstrap_seeded(data, n_boot, seed=42):
    means = []
    for i in range(n_boot):
        rng = np.random.default_rng(seed + i)
        sample = rng.choice(data, size=len(data), replace=True)
        means.append(sample.mean())
    return np.percentile(means, [2.5, 97.5])


@research("carried", args=lambda here: (np.random.default_rng(14).normal(1, 2, 50), 20))
def bootstrap_one_generator(data, n_boot):
    rng = np.random.default_rng(0)
    means = []
    for _ in range(n_boot):
        sample = rng.choice(data, size=len(data), replace=True)
        means.append(sample.mean())
    return np.percentile(means, [2.5, 97.5])


@research(SPLIT, args=lambda here: (np.random.default_rng(15).normal(0, 1, 20), np.arange(20) % 2, 30))
def permutation_test(values, labels, n_perm):
    observed = values[labels == 1].mean() - values[labels == 0].mean()
    count = 0
    for seed in range(n_perm):
        perm = np.random.default_rng(seed).permutation(labels)
        diff = values[perm == 1].mean() - values[perm == 0].mean()
        if abs(diff) >= abs(observed):
            count += 1
    return (count + 1) / (n_perm + 1)


def log_likelihood(x, mu, sigma):
    return -0.5 * ((x - mu) / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))


@research(SPLIT, args=lambda here: ([0.1 * i for i in range(30)],))
def total_likelihood(data, mu=1.0, sigma=0.7):
    return sum(log_likelihood(x, mu, sigma) for x in data)


@research("carried", args=lambda here: (np.linspace(0, 1, 6), np.linspace(1, 2, 4)))
def grid_search(xs, ys):
    best, best_params = np.inf, None
    for x, y in itertools.product(xs, ys):
        loss = (x - 0.3) ** 2 + (y - 1.6) ** 2 + np.sin(5 * x * y)
        if loss < best:
            best = loss
            best_params = (x, y)
    return best, best_params


@research(SPLIT, INSIDE, args=lambda here: (np.random.default_rng(16).normal(0, 1, (7, 3)),))
def distance_matrix(points):
    n = len(points)
    D = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            D[i, j] = D[j, i] = np.linalg.norm(points[i] - points[j])
    return D


# --- Simulations and sweeps -------------------------------------------------------------------------------------------


def sir(y, t, beta, gamma):
    s, i, r = y
    return [-beta * s * i, beta * s * i - gamma * i, gamma * i]


@research(SPLIT, args=lambda here: (np.linspace(0.1, 1.0, 6),))
def epidemic_peaks(betas, gamma=0.1):
    t = np.linspace(0, 100, 200)
    peak = np.zeros_like(betas)
    peak_day = np.zeros_like(betas)
    for k, beta in enumerate(betas):
        sol = odeint(sir, [0.99, 0.01, 0.0], t, args=(beta, gamma))
        peak[k] = sol[:, 1].max()
        peak_day[k] = t[sol[:, 1].argmax()]
    return peak, peak_day


@research(SPLIT, INSIDE, args=lambda here: ([0.1, 0.5, 1.0], [1.0, 2.0]))
def pendulum_sweep(dampings, lengths):
    results = []
    for damping in dampings:
        for length in lengths:
            sol = integrate.solve_ivp(
                lambda t, y: [y[1], -9.81 / length * np.sin(y[0]) - damping * y[1]],
                (0, 5),
                [1.0, 0.0],
                t_eval=np.linspace(0, 5, 50),
            )
            results.append({"damping": damping, "length": length, "amplitude": np.abs(sol.y[0]).max()})
    return pd.DataFrame(results)


def ising(T, n, sweeps, seed):
    rng = np.random.default_rng(seed)
    spins = rng.choice([-1, 1], size=(n, n))
    for _ in range(sweeps * n * n):
        i, j = rng.integers(0, n, 2)
        nb = spins[(i + 1) % n, j] + spins[i - 1, j] + spins[i, (j + 1) % n] + spins[i, j - 1]
        dE = 2 * spins[i, j] * nb
        if dE <= 0 or rng.random() < np.exp(-dE / T):
            spins[i, j] *= -1
    return abs(spins.mean())


@research(SPLIT, args=lambda here: (np.linspace(1.5, 3.5, 4),))
def magnetisation(temps):
    mags = []
    for n, T in enumerate(temps):
        m = ising(T, 6, 5, seed=100 + n)
        print(f"T = {T:.2f}: |m| = {m:.3f}")
        mags.append(m)
    return mags


@research(SPLIT, args=lambda here: (6,))
def monte_carlo_pi(n_tasks, n=200):
    estimates = []
    for child in np.random.SeedSequence(42).spawn(n_tasks):
        rng = np.random.default_rng(child)
        xy = rng.random((n, 2))
        estimates.append(4 * np.mean((xy**2).sum(axis=1) < 1))
    return np.mean(estimates)


class Walker:
    """A random walk with reflecting walls."""

    def __init__(self, seed, size=10):
        self.rng = np.random.default_rng(seed)
        self.size = size
        self.x = 0

    def step(self):
        self.x += self.rng.choice([-1, 1])
        if abs(self.x) > self.size:
            self.x = self.size * np.sign(self.x)


@research(SPLIT, INSIDE, args=lambda here: (5, 30))
def walkers(n, steps):
    finals = []
    for seed in range(n):
        w = Walker(seed)
        for _ in range(steps):
            w.step()
        finals.append(w.x)
    return finals


@research(SPLIT, args=lambda here: ([3, 4, 5],))
def minimise_from_starts(starts):
    solutions = []
    for i, x0 in enumerate(starts):
        res = optimize.minimize(
            lambda p: (p[0] - 1) ** 2 + (p[1] - x0) ** 2, x0=[x0, 0.0], method="Nelder-Mead"
        )
        print(f"[{i + 1}/{len(starts)}] start {x0}: {res.fun:.2e} ({'ok' if res.success else 'failed'})")
        solutions.append(np.round(res.x, 3))
    return np.array(solutions)


@research("carried", args=lambda here: (0.5, 1.0, 40))
def euler(x0, k, n, dt=0.05):
    t, x = 0.0, x0
    ts, xs = [t], [x]
    for _ in range(n):
        x = x - k * x * dt
        t = t + dt
        ts.append(t)
        xs.append(x)
    return np.array(ts), np.array(xs)


@research("carried", args=lambda here: (40,))
def metropolis(n, step=0.8):
    rng = np.random.default_rng(17)
    x, accepted, chain = 0.0, 0, []
    for _ in range(n):
        proposal = x + step * rng.normal()
        if np.log(rng.random()) < 0.5 * (x**2 - proposal**2):
            x = proposal
            accepted += 1
        chain.append(x)
    return np.array(chain), accepted / n


@research("carried", args=lambda here: (5,))
def noisy_replicates(n):
    out = []
    for i in range(n):
        np.random.seed(i)
        noise = np.random.normal(0, 1, 20)
        out.append(noise.max())
    return out


@research(SPLIT, args=lambda here: (dict(zip("abc", np.random.default_rng(18).random((3, 30)))),))
def band_areas(spectra):
    wavelength = np.linspace(400, 700, 30)
    return {name: np.trapezoid(y, wavelength) for name, y in spectra.items()}


@research(SPLIT, args=lambda here: ([np.arange(5.0), np.arange(3.0) ** 2, np.array([1.0, np.nan, 3.0])],))
def robust_spread(samples):
    return [1.4826 * np.median(np.abs(s[~np.isnan(s)] - np.nanmedian(s))) for s in samples]


@research(SPLIT, INSIDE, args=lambda here: (np.linspace(300, 400, 5), {"a": (1e13, 0.8), "b": (1e12, 0.7)}))
def rate_constants(temps, barriers):
    rates = np.zeros((len(barriers), len(temps)))
    for i, (name, (A, Ea)) in enumerate(barriers.items()):
        for j, T in enumerate(temps):
            rates[i][j] = A * np.exp(-Ea / (KB * T))
    return rates


class Detector:
    def __init__(self, gain, dark):
        self.gain, self.dark = gain, dark

    def corrected(self, frame):
        return (frame - self.dark) / self.gain

    def counts(self, frame, level=3.0):
        signal_only = self.corrected(frame)
        return int((signal_only > level).sum())


class Atom:
    def __init__(self, x, charge):
        self.x, self.charge = x, charge

    def distance_to(self, other):
        return abs(self.x - other.x)

    def energy_with(self, others):
        energy = 0.0
        for other in others:
            if other.x != self.x:
                energy += self.charge * other.charge / self.distance_to(other)
        return energy


class Sweep:
    def __init__(self, model, dt=0.1):
        self.model, self.dt = model, dt

    def decayed(self, rate):
        y, path = 1.0, []
        for _ in range(20):
            y -= self.dt * rate * y
            path.append(y)
        return path


@research(
    SPLIT, args=lambda here: (Detector(2.0, 1.0), list(np.random.default_rng(19).random((4, 6, 6)) * 20))
)
def frames_of_detector(detector, frames):
    counts = []
    for frame in frames:
        counts.append(detector.counts(frame))
    return counts


@research(SPLIT, args=lambda here: ([Atom(0.0, 1), Atom(1.5, -1), Atom(4.0, 2)],))
def coulomb_energies(atoms):
    return [atom.energy_with(atoms) / 2 for atom in atoms]


@research(SPLIT, args=lambda here: (Sweep(None), [0.1, 0.5, 1.0, 2.0]))
def sweep_of_rates(sweep, rates):
    finals = {}
    for rate in rates:
        path = sweep.decayed(rate)
        finals[rate] = path[-1]
    return finals
