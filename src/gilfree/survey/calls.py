"""The calls that `gilfree survey` probes; this file contains only data.

The sizes make a call take 10 to 100 ms on one thread. Each call is run many times, also on several
threads concurrently, so it does the same work each time and changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    """One call of the survey, as ``python -m timeit`` would take it."""

    library: str
    name: str
    setup: str
    statement: str


# fmt: off

class Group(NamedTuple):
    """The calls of one library: the setup they share, and a (name, setup, statement) for each."""

    library: str
    setup: str
    rows: tuple[tuple[str, str, str], ...]


NUMPY = Group("numpy", """\
import io
import numpy as np
rng = np.random.default_rng(0)
""", (
    # ufuncs
    ("np.add", "x = rng.random(2 * 10**7)", "x + x"),
    ("np.add, 10 elements x 100,000", "x = rng.random(10)", "for _ in range(100_000): x + x"),
    ("np.add, object dtype", "x = np.arange(10**6).astype(object)", "x + x"),
    ("np.sqrt", "x = rng.random(15 * 10**6)", "np.sqrt(x)"),
    ("np.exp", "x = rng.random(18 * 10**6)", "np.exp(x)"),
    ("np.power", "x = rng.random(12 * 10**6)", "x ** 1.5"),
    ("np.greater.outer", "x = rng.random(15_000)", "np.greater.outer(x, x)"),
    ("np.vectorize", "f = np.vectorize(lambda v: v * v); x = rng.random(300_000)", "f(x)"),
    ("np.char.upper", "s = np.array(['spam and eggs'] * 200_000)", "np.char.upper(s)"),
    # reductions
    ("np.sum", "i = rng.integers(0, 99, 6 * 10**7, 'i2')", "i.sum()"),
    ("np.mean, axis=0", "i = rng.integers(0, 99, (8000, 8000), 'i2')", "i.mean(axis=0)"),
    ("np.std", "x = rng.random(12 * 10**6)", "x.std()"),
    ("np.max, axis=1", "x = rng.random((10**6, 10))", "x.max(axis=1)"),
    ("np.argmax, axis=1", "x = rng.random((2 * 10**6, 10))", "x.argmax(axis=1)"),
    ("np.cumsum", "x = rng.random(6 * 10**6)", "x.cumsum()"),
    ("np.median", "x = rng.random(4 * 10**6)", "np.median(x)"),
    ("np.percentile", "x = rng.random(2 * 10**6)", "np.percentile(x, [5, 50, 95])"),
    # sorting, searching, counting
    ("np.sort", "x = rng.random(4 * 10**6)", "np.sort(x)"),
    ("np.argsort", "x = rng.random(2 * 10**6)", "np.argsort(x)"),
    ("np.partition", "x = rng.random(15 * 10**6)", "np.partition(x, x.size // 2)"),
    ("np.searchsorted", "x = np.sort(rng.random(10**6)); v = rng.random(200_000)", "np.searchsorted(x, v)"),
    ("np.bincount", "i = rng.integers(0, 1000, 2 * 10**7)", "np.bincount(i)"),
    ("np.histogram", "x = rng.random(5 * 10**6)", "np.histogram(x, bins=100)"),
    ("np.digitize", "x = rng.random(10**6); bins = np.linspace(0, 1, 100)", "np.digitize(x, bins)"),
    ("np.unique", "i = rng.integers(0, 10**5, 10**6)", "np.unique(i)"),
    ("np.isin", "i = rng.integers(0, 10**6, 8 * 10**6); j = i[:1000].copy()", "np.isin(i, j)"),
    ("np.nonzero", "m = rng.integers(0, 2, 4 * 10**7, bool)", "np.nonzero(m)"),
    # indexing and copying
    ("x[indices]", "x = rng.random(10**6); i = rng.integers(0, x.size, 10**7)", "x[i]"),
    ("x[mask]", "x = rng.random(6 * 10**6); m = x > 0.5", "x[m]"),
    ("np.take", "x = rng.random(10**6); i = rng.integers(0, x.size, 10**7)", "x.take(i)"),
    ("np.where", "x = rng.random(6 * 10**6); m = x > 0.5", "np.where(m, x, 0.0)"),
    ("np.copy", "x = rng.random(2 * 10**7)", "x.copy()"),
    ("np.copy, transposed", "x = rng.random((4000, 4000))", "x.T.copy()"),
    ("x.astype", "i = rng.integers(0, 99, 35 * 10**6, 'i1')", "i.astype(np.float64)"),
    ("np.frombuffer, big-endian", "b = rng.bytes(6 * 10**7)", "np.frombuffer(b, '>i2').astype(np.float64)"),
    ("np.concatenate", "x = rng.random(4 * 10**6)", "np.concatenate([x] * 8)"),
    ("x.tolist", "x = rng.random(10**6)", "x.tolist()"),
    ("np.array(list)", "values = rng.random(2 * 10**6).tolist()", "np.array(values)"),
    # linear algebra, signals, interpolation
    ("np.matmul", "a = rng.random((1200, 1200))", "a @ a"),
    ("np.matmul, integers", "a = rng.integers(0, 9, (350, 350))", "a @ a"),
    ("np.einsum", "a = rng.random((500, 500))", "np.einsum('ij,jk->ik', a, a)"),
    ("np.linalg.solve", "a = rng.random((1400, 1400)); b = rng.random(1400)", "np.linalg.solve(a, b)"),
    ("np.linalg.inv", "a = rng.random((900, 900))", "np.linalg.inv(a)"),
    ("np.linalg.svd", "a = rng.random((450, 450))", "np.linalg.svd(a)"),
    ("np.linalg.eigh", "a = rng.random((700, 700)); a += a.T", "np.linalg.eigh(a)"),
    ("np.fft.fft", "x = rng.random(2**20)", "np.fft.fft(x)"),
    ("np.convolve", "x = rng.random(2 * 10**6); k = rng.random(100)", "np.convolve(x, k)"),
    ("np.interp", "x = np.linspace(0, 1, 1000); v = rng.random(500_000)", "np.interp(v, x, x)"),
    # random numbers: a Generator has a lock of its own
    ("rng.normal", "", "np.random.default_rng(1).normal(size=3 * 10**6)"),
    ("rng.normal, one shared rng", "", "rng.normal(size=3 * 10**6)"),
    ("rng.integers", "", "np.random.default_rng(1).integers(0, 99, 12 * 10**6)"),
    ("rng.permutation", "x = rng.random(2 * 10**6)", "np.random.default_rng(1).permutation(x)"),
    # text
    ("np.loadtxt", "s = '1.5,2.5,3.5,4.5\\n' * 200_000", "np.loadtxt(io.StringIO(s), delimiter=',')"),
    ("np.savetxt", "x = rng.random((10_000, 4))", "np.savetxt(io.StringIO(), x)"),
))

SCIPY = Group("scipy", """\
import numpy as np
import scipy
rng = np.random.default_rng(0)
def csr(n, nnz):
    i, j = rng.integers(0, n, (2, nnz))
    return scipy.sparse.csr_matrix((rng.random(nnz), (i, j)), (n, n))
""", (
    # spatial, ndimage
    ("spatial.distance.cdist", "x = rng.random((3500, 3))", "scipy.spatial.distance.cdist(x, x)"),
    ("spatial.distance.pdist", "x = rng.random((5000, 8))", "scipy.spatial.distance.pdist(x)"),
    ("spatial.cKDTree", "x = rng.random((100_000, 3))", "scipy.spatial.cKDTree(x)"),
    ("cKDTree.query", "x = rng.random((30_000, 3)); tree = scipy.spatial.cKDTree(x)", "tree.query(x, k=3)"),
    ("spatial.Delaunay", "x = rng.random((12_000, 2))", "scipy.spatial.Delaunay(x)"),
    ("ndimage.gaussian_filter", "x = rng.random((1700, 1700))", "scipy.ndimage.gaussian_filter(x, 2)"),
    ("ndimage.median_filter", "x = rng.random((300, 300))", "scipy.ndimage.median_filter(x, 5)"),
    ("ndimage.label", "m = rng.random((1800, 1800)) > 0.5", "scipy.ndimage.label(m)"),
    ("ndimage.zoom", "x = rng.random((400, 400))", "scipy.ndimage.zoom(x, 2)"),
    # signal, fft
    ("fft.rfft", "x = rng.random(3 * 2**20)", "scipy.fft.rfft(x)"),
    ("signal.fftconvolve", "x = rng.random((700, 700))", "scipy.signal.fftconvolve(x, x)"),
    ("signal.convolve2d", "x = rng.random((500, 500))", "scipy.signal.convolve2d(x, x[:9, :9])"),
    ("signal.lfilter", "x = rng.random(5 * 10**6); b, a = scipy.signal.butter(4, 0.2)",
     "scipy.signal.lfilter(b, a, x)"),
    ("signal.savgol_filter", "x = rng.random(5 * 10**6)", "scipy.signal.savgol_filter(x, 11, 3)"),
    # sparse, linalg
    ("csr @ csr", "a = csr(20_000, 300_000)", "a @ a"),
    ("csr @ dense", "a = csr(20_000, 10**6); x = rng.random((20_000, 100))", "a @ x"),
    ("sparse.linalg.spsolve", "import scipy.sparse.linalg; n = 20_000; b = rng.random(n)\n"
     "a = scipy.sparse.diags([-1, -1, 4.1, -1, -1], [-120, -1, 0, 1, 120], (n, n), 'csc')",
     "scipy.sparse.linalg.spsolve(a, b)"),
    ("sparse.csgraph.dijkstra", "a = csr(500, 5000)", "scipy.sparse.csgraph.dijkstra(a)"),
    ("linalg.cholesky", "a = rng.random((1600, 1600)); a = a @ a.T", "scipy.linalg.cholesky(a)"),
    ("linalg.expm", "a = rng.random((600, 600)) / 600", "scipy.linalg.expm(a)"),
    # optimize, integrate, interpolate
    ("optimize.minimize", "x = np.full(24, 1.3)", "scipy.optimize.minimize(scipy.optimize.rosen, x)"),
    ("optimize.brentq x 4,000", "f = lambda x: x * x - 2",
     "for _ in range(4000): scipy.optimize.brentq(f, 0, 2)"),
    ("optimize.linear_sum_assignment", "c = rng.random((900, 900))",
     "scipy.optimize.linear_sum_assignment(c)"),
    ("optimize.curve_fit", "f = lambda x, a, b: a * np.exp(-b * x); x = np.linspace(0, 4, 500_000)\n"
     "y = f(x, 2.5, 1.3) + rng.normal(size=x.size) / 9", "scipy.optimize.curve_fit(f, x, y)"),
    ("optimize.linprog", "a = rng.random((220, 300)); b = a.sum(1); c = -rng.random(300)",
     "scipy.optimize.linprog(c, a, b)"),
    ("integrate.quad x 2,000", "f = lambda x: 1 / (1 + x * x)",
     "for _ in range(2000): scipy.integrate.quad(f, -5, 5)"),
    ("integrate.solve_ivp", "f = lambda t, y: [y[1], -y[0]]",
     "scipy.integrate.solve_ivp(f, (0, 1500), [0, 1])"),
    ("interpolate.CubicSpline", "x = np.arange(10.0**6); y = rng.random(x.size)",
     "scipy.interpolate.CubicSpline(x, y)"),
    ("CubicSpline.__call__", "v = rng.random(500_000) * 999\n"
     "f = scipy.interpolate.CubicSpline(np.arange(1000), rng.random(1000))", "f(v)"),
    # special, stats, cluster
    ("special.gamma", "x = rng.random(2 * 10**6) * 9", "scipy.special.gamma(x)"),
    ("special.erf", "x = rng.normal(size=2 * 10**6)", "scipy.special.erf(x)"),
    ("stats.rankdata", "x = rng.random(300_000)", "scipy.stats.rankdata(x)"),
    ("stats.norm.pdf", "x = rng.normal(size=3 * 10**6)", "scipy.stats.norm.pdf(x)"),
    ("stats.gaussian_kde", "x = rng.random(3000); f = scipy.stats.gaussian_kde(x)", "f(x)"),
    ("cluster.hierarchy.linkage", "x = rng.random((2000, 3))",
     "scipy.cluster.hierarchy.linkage(x, 'average')"),
))

PANDAS = Group("pandas", """\
import io
import numpy as np
import pandas as pd
rng = np.random.default_rng(0)
def frame(n):
    key, kind = rng.integers(0, [[1000], [10]], (2, n))
    return pd.DataFrame({"key": key, "kind": kind, "x": rng.random(n)})
def words(n):
    return pd.Series(["spam and eggs %d" % i for i in rng.integers(0, 10**6, n)])
""", (
    # frames
    ("df.groupby.sum", "df = frame(3 * 10**6)", "df.groupby('key').sum()"),
    ("df.groupby.median", "df = frame(1_500_000)", "df.groupby('key').median()"),
    ("df.groupby.apply", "df = frame(20_000)", "df.groupby(df.index // 10)['x'].apply(lambda x: x.sum())"),
    ("df.apply, axis=1", "df = frame(10_000)", "df.apply(lambda row: row['x'] * 2, axis=1)"),
    ("df.merge", "df = frame(4 * 10**6); keys = pd.DataFrame({'key': range(1000), 'y': 1.5})",
     "df.merge(keys, on='key')"),
    ("df.sort_values", "df = frame(10**6)", "df.sort_values('x')"),
    ("df.pivot_table", "df = frame(1_200_000)", "df.pivot_table(index='key', columns='kind', values='x')"),
    ("df.drop_duplicates", "df = frame(2 * 10**6)", "df.drop_duplicates(['key', 'kind'])"),
    ("pd.concat", "df = frame(10**6)", "pd.concat([df] * 8)"),
    # series
    ("pd.factorize", "x = rng.integers(0, 10**5, 4 * 10**6)", "pd.factorize(x)"),
    ("pd.factorize, str", "s = words(300_000)", "pd.factorize(s)"),
    ("s.value_counts", "s = pd.Series(rng.integers(0, 1000, 7 * 10**6))", "s.value_counts()"),
    ("s.isin", "s = pd.Series(rng.integers(0, 10**9, 2 * 10**6)); v = s[::200].to_numpy()", "s.isin(v)"),
    ("s.rank", "s = pd.Series(rng.random(300_000))", "s.rank()"),
    ("s.rolling.mean", "s = pd.Series(rng.random(3 * 10**6))", "s.rolling(50).mean()"),
    ("s.rolling.median", "s = pd.Series(rng.random(150_000))", "s.rolling(50).median()"),
    ("s.ewm.mean", "s = pd.Series(rng.random(4 * 10**6))", "s.ewm(span=9).mean()"),
    # text
    ("s.str.upper", "s = words(250_000)", "s.str.upper()"),
    ("s.str.contains", "s = words(200_000)", "s.str.contains('eggs .*7')"),
    ("pd.to_datetime", "s = pd.Series(pd.date_range('2020', periods=400_000, freq='min')).astype(str)",
     "pd.to_datetime(s, format='%Y-%m-%d %H:%M:%S', cache=False)"),
    ("pd.read_csv", "s = frame(400_000).to_csv(index=False)", "pd.read_csv(io.StringIO(s))"),
    ("df.to_csv", "df = frame(25_000)", "df.to_csv()"),
))

# One loop, compiled in five ways. The parallel one needs the threading layer `threadsafe`: Numba's
# `workqueue` aborts the process when two threads use it concurrently.
NUMBA = Group("numba", """\
import numba
import numpy as np
x = np.random.default_rng(0).random(5 * 10**6)
def loop(x):
    total = 0.0
    for i in numba.prange(x.size):
        total += np.sin(x[i])
    return total
""", (
    ("njit", "f = numba.njit(loop); f(x)", "f(x)"),
    ("njit, nogil=True", "f = numba.njit(nogil=True)(loop); f(x)", "f(x)"),
    ("njit, parallel=True", "numba.config.THREADING_LAYER = 'threadsafe'\n"
     "f = numba.njit(parallel=True)(loop); f(x)", "f(x)"),
    ("vectorize", "f = numba.vectorize(lambda v: np.sin(v)); f(x)", "f(x)"),
    ("guvectorize", "@numba.guvectorize('f8[:], f8[:]', '(n)->()')\n"
     "def f(x, total):\n    total[0] = np.sin(x).sum()\nf(x)", "f(x)"),
))

STDLIB = Group("stdlib", """\
import random
rnd = random.Random(0)
def floats(n):
    return [rnd.random() for _ in range(n)]
def words(n):
    return rnd.choices(["spam", "eggs", "ham", "bacon", "lobster"], k=n)
def records(n):
    return [{"id": i, "name": "n%d" % i, "x": rnd.random(), "tags": ["a", "b"]} for i in range(n)]
""", (
    # hashing, compressing, encoding
    ("hashlib.sha256", "import hashlib; b = bytes(50_000_000)", "hashlib.sha256(b)"),
    ("hashlib.blake2b", "import hashlib; b = bytes(40_000_000)", "hashlib.blake2b(b)"),
    ("hashlib.pbkdf2_hmac", "import hashlib", "hashlib.pbkdf2_hmac('sha256', b'spam', b'eggs', 150_000)"),
    ("zlib.compress", "import zlib; b = rnd.randbytes(2_000_000)", "zlib.compress(b)"),
    ("zlib.decompress", "import zlib; b = zlib.compress(' '.join(words(2_500_000)).encode(), 1)",
     "zlib.decompress(b)"),
    ("gzip.compress", "import gzip; b = rnd.randbytes(2_000_000)", "gzip.compress(b)"),
    ("bz2.compress", "import bz2; b = rnd.randbytes(400_000)", "bz2.compress(b)"),
    ("lzma.compress", "import lzma; b = rnd.randbytes(200_000)", "lzma.compress(b)"),
    ("binascii.crc32", "import binascii; b = bytes(150_000_000)", "binascii.crc32(b)"),
    ("base64.b64encode", "import base64; b = bytes(50_000_000)", "base64.b64encode(b)"),
    ("struct.unpack", "import struct; b = rnd.randbytes(8_000_000)", "struct.unpack('1000000q', b)"),
    ("array.array, a[:]", "import array; a = array.array('d', [1.5]) * 10**7", "a[:]"),
    # text
    ("str.split", "s = ' '.join(words(500_000))", "s.split()"),
    ("str.join", "w = words(4 * 10**6)", "' '.join(w)"),
    ("str.replace", "s = ' '.join(words(2 * 10**6))", "s.replace('spam', 'sausage')"),
    ("bytes.join", "parts = [bytes(1_000_000)] * 80", "b''.join(parts)"),
    ("bytes.join, of bytearrays", "parts = [bytearray(1_000_000)] * 80", "b''.join(parts)"),
    ("re.search", "import re; s = ' '.join(words(300_000))", "re.search('[a-z]+ beans', s)"),
    ("re.sub", "import re; s = ' '.join(words(200_000))", "re.sub('[aeiou]', '_', s)"),
    # parsing, serialising
    ("json.dumps", "import json; rows = records(25_000)", "json.dumps(rows)"),
    ("json.loads", "import json; s = json.dumps(records(50_000))", "json.loads(s)"),
    ("pickle.dumps", "import pickle; rows = records(100_000)", "pickle.dumps(rows)"),
    ("pickle.loads", "import pickle; b = pickle.dumps(records(60_000))", "pickle.loads(b)"),
    ("csv.reader", "import csv; lines = ['1,two,3.0,\"four\"'] * 120_000", "list(csv.reader(lines))"),
    ("ElementTree.fromstring", "from xml.etree import ElementTree\n"
     "s = '<a>' + '<b c=\"1\">text</b>' * 70_000 + '</a>'", "ElementTree.fromstring(s)"),
    ("ast.parse", "import ast; s = 'x = f(a + 1, b[2])\\n' * 3500", "ast.parse(s)"),
    ("copy.deepcopy", "import copy; rows = records(10_000)", "copy.deepcopy(rows)"),
    # plain Python objects
    ("sorted", "values = floats(200_000)", "sorted(values)"),
    ("sum(range)", "", "sum(range(2_500_000))"),
    ("list comprehension", "", "[i * i for i in range(700_000)]"),
    ("random.random", "", "[rnd.random() for _ in range(500_000)]"),
    ("collections.Counter", "import collections; w = words(1_200_000)", "collections.Counter(w)"),
    ("heapq.heapify", "import heapq; values = floats(10**6)", "heapq.heapify(values[:])"),
    ("statistics.mean", "import statistics; values = floats(100_000)", "statistics.mean(values)"),
    ("int * int", "a = rnd.getrandbits(700_000)", "a * a"),
    ("Decimal.sqrt", "import decimal", "decimal.Decimal(2).sqrt(decimal.Context(prec=10_000))"),
    # the system, waiting
    ("sqlite3.execute", "import contextlib, sqlite3\n"
     "sql = '''with recursive n(i) as (select 1 union all select i + 1 from n limit 400000)\n"
     "select sum(i) from n'''\n"
     "def query():\n"
     "    with contextlib.closing(sqlite3.connect(':memory:')) as db:\n"
     "        return db.execute(sql).fetchone()", "query()"),
    ("os.urandom", "import os", "os.urandom(20_000_000)"),
    ("os.stat x 20,000", "import os", "for _ in range(20_000): os.stat('.')"),
    ("time.sleep", "import time", "time.sleep(0.03)"),
    ("select.select", "import select", "select.select([], [], [], 0.03)"),
    ("Lock.acquire", "import threading; k = threading.Lock(); k.acquire()", "k.acquire(timeout=0.03)"),
    ("subprocess.run", "import subprocess", "subprocess.run(['sleep', '0.03'])"),
    # the two controls: one C function, called without the GIL and with it
    ("ctypes.CDLL, usleep", "import ctypes; c = ctypes.CDLL(None)", "c.usleep(30_000)"),
    ("ctypes.PyDLL, usleep", "import ctypes; c = ctypes.PyDLL(None)", "c.usleep(30_000)"),
))

GROUPS = {group.library: group for group in (NUMPY, SCIPY, PANDAS, NUMBA, STDLIB)}
CALLS: tuple[Call, ...] = tuple(
    Call(group.library, name, group.setup + setup, statement)
    for group in GROUPS.values()
    for name, setup, statement in group.rows
)
