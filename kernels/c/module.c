/* The Python face of the C core: buffers in, bytes out; arguments were checked in Python.
 *
 * Limited API of CPython 3.11, so that one binary serves every later version.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "core.h"

/* Take a buffer of `ndim` axes with items of one of two formats. The checks repeat Python's
 * in short, so that no call from elsewhere can reach beyond memory. */
static int take(PyObject *object, Py_buffer *view, int ndim, const char *formats, int flags)
{
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDES | PyBUF_FORMAT | flags) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    if (*format == '@' || *format == '=')
        format++;
    if (view->ndim != ndim || strlen(format) != 1 || !strchr(formats, *format) ||
        (ndim && view->strides[ndim - 1] != view->itemsize && view->shape[ndim - 1] > 1)) {
        PyErr_Format(PyExc_TypeError, "C core: expected %d axes, x contiguous, of format %s",
                     ndim, formats);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

static dep_volume volume_of(const Py_buffer *view)
{
    dep_volume v = {.data = view->buf};
    for (int axis = 0; axis < 3; axis++)
        v.shape[axis] = view->shape[axis];
    v.stride[0] = view->strides[0];
    v.stride[1] = view->strides[1];
    v.is_float = view->itemsize == 4;
    return v;
}

static PyObject *mp_nms(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *labels, *probability, *result = NULL;
    Py_buffer label_view, probability_view;
    const char *iterations;
    PyObject *thresholds;
    Py_ssize_t length;
    long long z0, z1, origin;
    int joint, refine, threads;
    if (!PyArg_ParseTuple(args, "OOy#O!LLLppi", &labels, &probability, &iterations, &length,
                          &PyTuple_Type, &thresholds, &z0, &z1, &origin, &joint, &refine,
                          &threads))
        return NULL;
    if (length != 256 || PyTuple_Size(thresholds) != DEP_MAX_ITERATIONS + 1) {
        PyErr_SetString(PyExc_ValueError, "C core: expected 256 iterations, 14 thresholds");
        return NULL;
    }
    dep_nms_job job = {.core = {z0, z1}, .origin = origin, .joint = joint,
                       .refine = refine, .threads = threads};
    memcpy(job.iterations, iterations, sizeof job.iterations);
    for (int i = 0; i < 256; i++)
        if (job.iterations[i] > DEP_MAX_ITERATIONS || (joint && !job.iterations[0])) {
            PyErr_SetString(PyExc_ValueError, "C core: iterations beyond 1 .. 13");
            return NULL;
        }
    for (int n = 0; n <= DEP_MAX_ITERATIONS; n++)
        job.threshold[n] = PyLong_AsLongLong(PyTuple_GetItem(thresholds, n));
    if (PyErr_Occurred())
        return NULL;
    const int has_probability = probability != Py_None;
    if (take(labels, &label_view, 3, "B", 0) < 0)
        return NULL;
    if (has_probability && take(probability, &probability_view, 3, "Bf", 0) < 0) {
        PyBuffer_Release(&label_view);
        return NULL;
    }
    job.labels = volume_of(&label_view);
    if (has_probability)
        job.probability = volume_of(&probability_view);
    if (z0 < 0 || z0 > z1 || z1 > job.labels.shape[0] || threads < 1 ||
        (has_probability &&
         memcmp(job.probability.shape, job.labels.shape, sizeof job.labels.shape) != 0)) {
        PyErr_SetString(PyExc_ValueError, "C core: core, threads or shapes do not fit");
        goto done;
    }

    dep_candidate *found;
    int64_t count;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = dep_mp_nms(&job, &found, &count);
    Py_END_ALLOW_THREADS
    if (status == DEP_NO_MEMORY)
        PyErr_NoMemory();
    else if (status > 0)
        result = PyLong_FromLong(status); /* a class without iterations */
    else
        result = PyBytes_FromStringAndSize((const char *)found,
                                           (Py_ssize_t)count * (Py_ssize_t)sizeof *found);
    free(found);
done:
    PyBuffer_Release(&label_view);
    if (has_probability)
        PyBuffer_Release(&probability_view);
    return result;
}

static PyObject *deduplicate(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *objects[4], *result = NULL; /* xyz, score, class_id, kept */
    Py_buffer views[4];
    static const char *const formats[4] = {"f", "d", "i", "lq"};
    int taken[4] = {0};
    double t_dist;
    if (!PyArg_ParseTuple(args, "OOOdO", &objects[0], &objects[1], &objects[2], &t_dist,
                          &objects[3]))
        return NULL;
    for (int i = 0; i < 4; i++) {
        if (objects[i] == Py_None && i == 2)
            continue;
        const int flags = i == 3 ? PyBUF_WRITABLE : 0;
        if (take(objects[i], &views[i], i == 0 ? 2 : 1, formats[i], flags) < 0)
            goto done;
        taken[i] = 1;
        if (views[i].shape[0] != views[0].shape[0] || views[i].len / views[i].itemsize !=
            views[0].shape[0] * (i == 0 ? 3 : 1) || (i == 3 && views[i].itemsize != 8) ||
            (i == 0 && views[i].shape[0] > 1 && views[i].strides[0] != 12)) {
            PyErr_SetString(PyExc_ValueError, "C core: the arrays' shapes do not fit");
            goto done;
        }
    }
    int64_t count;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = dep_deduplicate(views[0].shape[0], views[0].buf, views[1].buf,
                             taken[2] ? views[2].buf : NULL, t_dist, views[3].buf, &count);
    Py_END_ALLOW_THREADS
    result = status == DEP_OK ? PyLong_FromLongLong(count) : PyErr_NoMemory();
done:
    for (int i = 0; i < 4; i++)
        if (taken[i])
            PyBuffer_Release(&views[i]);
    return result;
}

static PyObject *assemble(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *objects[3], *result = NULL; /* scores, labels, probability */
    Py_buffer views[3];
    static const char *const formats[3] = {"fe", "B", "B"};
    int taken[3] = {0};
    long long source[3], target[3], size[3];
    double t_seg;
    dep_assemble_job job = {0};
    if (!PyArg_ParseTuple(args, "OOO(LLL)(LLL)(LLL)dppi", &objects[0], &objects[1],
                          &objects[2], &source[0], &source[1], &source[2], &target[0],
                          &target[1], &target[2], &size[0], &size[1], &size[2], &t_seg,
                          &job.joint, &job.background, &job.threads))
        return NULL;
    if (job.threads < 1) {
        PyErr_SetString(PyExc_ValueError, "C core: expected at least one thread");
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        const int axes = i == 0 ? 4 : 3, flags = i == 0 ? 0 : PyBUF_WRITABLE;
        if (take(objects[i], &views[i], axes, formats[i], flags) < 0)
            goto done;
        taken[i] = 1;
        const Py_ssize_t *shape = views[i].shape + (i == 0);
        const long long *start = i == 0 ? source : target;
        for (int axis = 0; axis < 3; axis++)
            if (start[axis] < 0 || size[axis] < 0 || start[axis] > shape[axis] ||
                size[axis] > shape[axis] - start[axis]) {
                PyErr_SetString(PyExc_ValueError, "C core: the core lies outside an array");
                goto done;
            }
    }
    const Py_ssize_t classes = views[0].shape[0] - job.background;
    if (classes < 1 || classes > 255) {
        PyErr_SetString(PyExc_ValueError, "C core: expected scores of 1 to 255 classes");
        goto done;
    }
    const Py_ssize_t *s = views[0].strides, *l = views[1].strides, *p = views[2].strides;
    job.scores = (const char *)views[0].buf + source[0] * s[1] + source[1] * s[2] +
                 source[2] * s[3];
    job.labels = (uint8_t *)views[1].buf + target[0] * l[0] + target[1] * l[1] + target[2];
    job.probability =
        (uint8_t *)views[2].buf + target[0] * p[0] + target[1] * p[1] + target[2];
    job.is_half = views[0].itemsize == 2;
    job.channels = (int)views[0].shape[0];
    job.t_seg = (float)t_seg;
    for (int axis = 0; axis < 3; axis++) {
        job.score_stride[axis] = s[axis];
        job.size[axis] = size[axis];
    }
    for (int axis = 0; axis < 2; axis++) {
        job.label_stride[axis] = l[axis];
        job.probability_stride[axis] = p[axis];
    }
    Py_BEGIN_ALLOW_THREADS
    if (size[0] && size[1] && size[2])
        dep_assemble(&job);
    Py_END_ALLOW_THREADS
    Py_INCREF(Py_None);
    result = Py_None;
done:
    for (int i = 0; i < 3; i++)
        if (taken[i])
            PyBuffer_Release(&views[i]);
    return result;
}

static PyObject *moments(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *voxels, *out, *result = NULL;
    Py_buffer view, sums;
    double pivot;
    if (!PyArg_ParseTuple(args, "OdO", &voxels, &pivot, &out) ||
        take(voxels, &view, 1, "bBhHfd", 0) < 0)
        return NULL;
    if (take(out, &sums, 2, "d", PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&view);
        return NULL;
    }
    const Py_ssize_t blocks = (view.shape[0] + DEP_BLOCK - 1) / DEP_BLOCK;
    if (sums.shape[0] != 2 || sums.shape[1] != blocks) {
        PyErr_SetString(PyExc_ValueError, "C core: expected two sums for each block");
        goto done;
    }
    const char *format = view.format ? view.format : "B";
    dep_moments m = {.sums = sums.buf,
                     .squares = (double *)((char *)sums.buf + sums.strides[0])};
    Py_BEGIN_ALLOW_THREADS
    dep_measure_voxels(view.buf, format[strlen(format) - 1], view.shape[0], pivot, &m);
    Py_END_ALLOW_THREADS
    result = Py_BuildValue("dd", m.low, m.high);
done:
    PyBuffer_Release(&view);
    PyBuffer_Release(&sums);
    return result;
}

static PyMethodDef methods[] = {
    {"mp_nms", mp_nms, METH_VARARGS, NULL},
    {"deduplicate", deduplicate, METH_VARARGS, NULL},
    {"assemble", assemble, METH_VARARGS, NULL},
    {"moments", moments, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "dep.kernels._c",
    .m_doc = "The C twin of dep.kernels.reference.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__c(void)
{
    return PyModuleDef_Init(&definition);
}
