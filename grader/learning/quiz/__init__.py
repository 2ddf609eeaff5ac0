"""The quiz: questions whose answers are computed, replies read tolerantly, and boxes that bring back what was missed.

Files in tests/quiz import what they need from here.
"""

from grader.assembly import Exercise
from grader.quiz.questions import Ask, Question, changed, multiplications, question
from grader.random import Random

__all__ = ["Ask", "Exercise", "Question", "Random", "changed", "multiplications", "question"]
