"""What is kept of an order."""

from django.db import models


class Order(models.Model):
    """An order, and how far it is."""

    article = models.CharField(max_length=100)
    price = models.IntegerField(null=True)
    state = models.CharField(max_length=20, default="new")

    def __str__(self) -> str:
        return f"{self.article} ({self.state})"
