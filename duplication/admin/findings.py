"""Acting on what was found about a copy: mending one of its links, catching up.

Both are POSTs from the duplication's page, and lead back to it or to what was started.
"""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from duplication.admin.copies import duplication_url
from duplication.catch_up.kind import check_may_catch_up, start_catch_up
from duplication.exceptions import CannotCatchUp, CannotMend
from duplication.mending import mend_link
from duplication.models import Duplication


def mend(request: HttpRequest, duplication: Duplication, link_id: int) -> HttpResponse:
    try:
        finding = mend_link(
            duplication=duplication,
            finding_id=link_id,
            target=request.POST.get("target", ""),
            by=request.user,
        )
    except (CannotMend, PermissionDenied) as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            f"The link in {finding.type} {finding.new_id} ({finding.field}) was mended: it points "
            f"to {finding.mended_to or finding.link}.",
        )
    return HttpResponseRedirect(f"{duplication_url(duplication.pk)}#links-heading")


def catch_up(request: HttpRequest, duplication: Duplication) -> HttpResponse:
    try:
        check_may_catch_up(request.user, duplication)
        started, _ = start_catch_up(duplication=duplication, requested_by=request.user)
    except (CannotCatchUp, PermissionDenied) as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(duplication_url(duplication.pk))
    return HttpResponseRedirect(reverse("admin:duplication_catchup_change", args=[started.pk]))
